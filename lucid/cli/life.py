"""`lucid erase`, `lucid hold` and `lucid access`: what becomes of a recording after its session."""

import click
from rich.markup import escape
from rich.table import Table

from lucid.cli.api import B, P, R, Target
from lucid.cli.output import err, moment, out, print_json, run
from lucid.cli.target import json_option, target_options
from lucid.contracts import session_api
from lucid.contracts.session_access import Accesses, AccessQuery, SetHold
from lucid.contracts.types import SessionPath
from lucid.kit.routes import Route


@click.command(epilog="Example: lucid erase 018f2b6e-7c1d-4b3a-9e52-0c4d8a6f1b27 --yes")
@click.argument("session", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask whether it is meant.")
@target_options
def erase(session: str, yes: bool, target: Target) -> None:
    """Erase the recording of session ID for good.

    Its key and its files are destroyed, and a signed tombstone is anchored that says so and names the date
    from which no backup holds the key either. The receipt (`lucid bundle ID --no-chunks`) stays: it proves
    that the recording existed. A legal hold prevents erasure.
    """
    if not yes:
        click.confirm(f"Erase the recording of session {session}? Nobody can bring it back", abort=True)
    run(_call(target, session_api.ERASE, SessionPath(session)))
    err.print("Erasure has begun; `lucid sessions ID` says `deleted` once its tombstone is anchored.")


@click.command(epilog="Example: lucid hold 018f2b6e-7c1d-4b3a-9e52-0c4d8a6f1b27 on --reason 'case 4711'")
@click.argument("session", metavar="ID")
@click.argument("state", type=click.Choice(["on", "off"]))
@click.option("--reason", required=True, help="Why, in one line. It is anchored, for everybody to read.")
@target_options
def hold(session: str, state: str, reason: str, target: Target) -> None:
    """Begin or end a legal hold on session ID; for admins. While it lasts, nothing erases the recording."""
    body = SetHold(held=state == "on", reason=reason)
    found = run(_call(target, session_api.HOLD, SessionPath(session), body))
    out.print("held" if found.held else "not held")


@click.command(epilog="Example: lucid access 018f2b6e-7c1d-4b3a-9e52-0c4d8a6f1b27 --limit 5")
@click.argument("session", metavar="ID")
@click.option(
    "--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="At most this many."
)
@json_option
@target_options
def access(session: str, limit: int, as_json: bool, target: Target) -> None:
    """List who was given the recording of session ID, when it was held and when erased; newest first.

    Violations of the session's policy are in the list, too.
    """
    page = run(_call(target, session_api.ACCESSES, AccessQuery(session, limit)))
    print_json(page) if as_json else _show(page)


async def _call(target: Target, route: Route[P, B, R], params: P, body: B | None = None) -> R:
    async with target.open() as api:
        return await api.call(route, params, body)


def _show(page: Accesses) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("TIME", "WHAT", "WHO", "FROM", "TO", "REASON", "STATE", "BLOCK"):
        table.add_column(title)
    for row in page.accesses:
        stretch = moment(row.start_ms), moment(row.end_ms)
        height = "–" if row.height is None else str(row.height)
        table.add_row(
            moment(row.time_ms),
            row.what,
            row.who or "–",
            *stretch,
            escape(": ".join(filter(None, (row.reason, row.detail))) or "–"),
            row.state,
            height,
        )
    out.print(table if page.accesses else "Nobody was given this recording.")
