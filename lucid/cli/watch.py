"""`lucid watch`: a recording in a browser of this machine, while it is still being made."""

import asyncio
import contextlib

import click

from lucid.cli.api import Target
from lucid.cli.output import Failure, out, run
from lucid.cli.target import target_options
from lucid.cli.watch_pieces import Pieces, newest
from lucid.cli.watch_server import serving
from lucid.contracts import session_api
from lucid.contracts.types import SessionPath


@click.command(epilog="Example: lucid watch 018f2b6e-7c1d-4b3a-9e52-0c4d8a6f1b27")
@click.argument("session", metavar="ID")
@click.option("--from-start", is_flag=True, help="From the first frame; default: from the newest chunk on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="Port on 127.0.0.1 to serve the page at; 0: one that is free.",
)
@target_options
def watch(session: str, from_start: bool, port: int, target: Target) -> None:
    """Show the recording of session ID in a browser of this machine, also while it is being made.

    Prints the address of a page that this command serves until it is interrupted; open it in a browser.
    Only who knows the address can. The picture follows the desktop by ten to fifteen seconds: it comes chunk
    by chunk, as it is stored. Each request for chunks is put on record in the log before the first byte.
    Watching proves nothing: `lucid verify` does.
    """
    with contextlib.suppress(KeyboardInterrupt):  # which is how it is ended
        run(_watch(target, session, port, from_start))


async def _watch(target: Target, session: str, port: int, from_start: bool) -> None:
    async with target.open() as api:
        found = await api.call(session_api.GET, SessionPath(session))
        if found.state in {"created", "starting"}:
            raise Failure(f"session {session} is {found.state}: nothing is recorded yet")
        first = 0 if from_start else await newest(api, session)
        async with serving(Pieces(api, session, first), port) as address:
            out.print(address, soft_wrap=True)
            await asyncio.Event().wait()
