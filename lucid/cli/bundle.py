"""`lucid bundle`: the evidence of one session, in one file."""

from pathlib import Path

import click

from lucid.cli.api import P, Target
from lucid.cli.download import fetch, resumable_file
from lucid.cli.moments import Moment
from lucid.cli.output import Misuse, err, out, run, size
from lucid.cli.target import target_options
from lucid.contracts import session_api
from lucid.contracts.session_access import BundleQuery, DisclosureQuery
from lucid.kit.routes import Nothing, Route, Stream


@click.command(epilog="Example: lucid bundle 018f2b6e-7c1d-4b3a-9e52-0c4d8a6f1b27 -o session.lucid")
@click.argument("session", metavar="ID")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to; default ID.lucid."
)
@click.option("--no-chunks", is_flag=True, help="Leave the sealed recording out: small, and still evidence.")
@click.option("--from", "start_ms", type=Moment(), help="Disclose the recording from TIME (UTC) ...")
@click.option("--to", "end_ms", type=Moment(), help="... to TIME, with the keys that open it.")
@target_options
def bundle(
    session: str,
    output: Path | None,
    no_chunks: bool,
    start_ms: int | None,
    end_ms: int | None,
    target: Target,
) -> None:
    """Fetch the evidence bundle of session ID.

    It holds the manifest, the anchors, the list of chunks, their proofs and the cosigned checkpoint, and the
    sealed chunks unless they are left out. `lucid verify` checks it without any network. If the connection
    breaks, what has come stays beside the output as .part, and the same command goes on from there.

    With --from and --to it holds the sealed chunks of this stretch only, and their keys: whoever gets the
    file can see that stretch (`lucid replay --bundle FILE`) and nothing else. Like a replay, an export with
    chunks and a disclosure are put on record in the log first. Without chunks the bundle is a receipt.
    """
    path = output or Path(f"{session}.lucid")
    if start_ms is None and end_ms is None:
        query = BundleQuery(session, chunks=not no_chunks)
        received = run(fetch_bundle(target, session_api.BUNDLE, query, path))
    elif start_ms is not None and end_ms is not None and not no_chunks:
        stretch = DisclosureQuery(session, start_ms, end_ms)
        received = run(fetch_bundle(target, session_api.DISCLOSURE, stretch, path))
    else:
        raise Misuse("a stretch to disclose needs both --from and --to, and no --no-chunks")
    err.print(f"{size(received)} of evidence; check it with `lucid verify {path} --trust FILE`")
    out.print(str(path))


async def fetch_bundle(target: Target, route: Route[P, Nothing, Stream], query: P, path: Path) -> int:
    """Writes a bundle to `path`, whole or as `path`.part; returns its size in bytes. Raises ApiError."""
    async with target.open() as api:
        with resumable_file(path) as partial:
            return await fetch(api, route, query, partial, "bundle")
