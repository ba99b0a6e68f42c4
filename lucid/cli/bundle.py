"""`lucid bundle`: the evidence of one session, in one file."""

from pathlib import Path

import click

from lucid.cli.api import Target
from lucid.cli.download import fetch, whole_file
from lucid.cli.output import err, out, run, size
from lucid.cli.target import target_options
from lucid.contracts import session_api
from lucid.contracts.session_api import BundleQuery


@click.command(epilog="Example: lucid bundle 018f2b6e-7c1d-4b3a-9e52-0c4d8a6f1b27 -o session.lucid")
@click.argument("session", metavar="ID")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to; default ID.lucid."
)
@click.option("--no-chunks", is_flag=True, help="Leave the sealed recording out: small, and still evidence.")
@target_options
def bundle(session: str, output: Path | None, no_chunks: bool, target: Target) -> None:
    """Fetch the evidence bundle of session ID.

    It holds the manifest, the anchors, the list of chunks, their proofs and the cosigned checkpoint, and the
    sealed chunks unless they are left out. `lucid verify` checks it without any network.
    """
    path = output or Path(f"{session}.lucid")
    received = run(fetch_bundle(target, BundleQuery(session, chunks=not no_chunks), path))
    err.print(f"{size(received)} of evidence; check it with `lucid verify {path} --trust FILE`")
    out.print(str(path))


async def fetch_bundle(target: Target, query: BundleQuery, path: Path) -> int:
    """Writes a bundle to `path`, whole or not at all; returns its size in bytes. Raises ApiError."""
    async with target.open() as api:
        with whole_file(path) as file:
            return await fetch(api, session_api.BUNDLE, query, file, "bundle")
