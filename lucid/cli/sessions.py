"""`lucid sessions`: what was recorded, and how far it is anchored."""

import asyncio

import click
import msgspec
from rich.table import Table

from lucid.cli.api import Api, Target
from lucid.cli.output import moment, out, print_json, run, size, span
from lucid.cli.target import json_option, target_options
from lucid.contracts import session_api
from lucid.contracts.session_api import Proof, Session, Sessions, SessionsQuery
from lucid.contracts.session_pipeline import Pipeline
from lucid.contracts.types import SessionPath

COLOURS = {"recording": "red", "completed": "green", "failed": "bold red", "processing": "yellow"}


class Details(msgspec.Struct, frozen=True):
    """One session with all that is known of its way to the chain."""

    session: Session
    pipeline: Pipeline
    proof: Proof


@click.command(epilog="Example: lucid sessions --limit 5")
@click.argument("session", metavar="[ID]", required=False)
@click.option(
    "--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="At most this many."
)
@json_option
@target_options
def sessions(session: str | None, limit: int, as_json: bool, target: Target) -> None:
    """List sessions, newest first; with an ID, show that one and its anchors."""
    if session:
        details = run(_details(target, session))
        print_json(details) if as_json else _show(details)
        return
    page = run(_list(target, limit))
    print_json(page) if as_json else _show_list(page)


async def _list(target: Target, limit: int) -> Sessions:
    async with target.open() as api:
        return await api.call(session_api.LIST, SessionsQuery(limit=limit))


async def _details(target: Target, session: str) -> Details:
    async with target.open() as api:
        return await details_of(api, session)


async def details_of(api: Api, session: str) -> Details:
    """All that is known of a session."""
    path = SessionPath(session)
    return Details(
        *await asyncio.gather(
            api.call(session_api.GET, path),
            api.call(session_api.PIPELINE, path),
            api.call(session_api.PROOF, session_api.ProofQuery(session, limit=100)),
        )
    )


def _show_list(page: Sessions) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("ID", "NAME", "STATE", "STARTED"):
        table.add_column(title, no_wrap=title == "ID")
    for title in ("LENGTH", "CHUNKS", "SIZE"):
        table.add_column(title, justify="right")
    for item in page.sessions:
        table.add_row(
            item.id,
            item.name or "–",
            f"[{COLOURS.get(item.state, 'default')}]{item.state}",
            moment(item.started_ms),
            span(item.started_ms, item.ended_ms),
            str(item.chunks),
            size(item.raw_bytes),
        )
    out.print(table if page.sessions else "No sessions yet: record one with `lucid record -- COMMAND`.")


def _show(details: Details) -> None:
    session, pipeline, proof = details.session, details.pipeline, details.proof
    table = Table.grid(padding=(0, 2))
    rows = {
        "session": session.id,
        "name": session.name or "–",
        "state": f"[{COLOURS.get(session.state, 'default')}]{session.state}",
        "owner": session.owner,
        "started": f"{moment(session.started_ms)}, length {span(session.started_ms, session.ended_ms)}",
        "ended by": session.end_reason or "–",
        "recorded": f"{session.chunks} chunks, {size(session.raw_bytes)}, {session.frame_rate} fps",
        "stored": f"{pipeline.stored} chunks, {size(pipeline.sealed_bytes)} sealed",
        "anchored": f"{pipeline.anchored} chunks; manifest {'final' if proof.anchored else 'not yet final'}",
    }
    if session.erased_ms is not None:
        rows["kept"] = f"erased at {moment(session.erased_ms)}"
    elif session.erasing_ms is not None:
        rows["kept"] = "being erased"
    else:
        hold = ", and longer: under a legal hold" if session.held else ""
        rows["kept"] = f"{session.retention_days} days after its end{hold}"
    if session.error:
        rows["error"] = f"[red]{session.error}"
    for name, value in rows.items():
        table.add_row(f"[bold]{name}", value)
    out.print(table)
    anchors = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("ANCHOR", "KIND", "STATE", "LOG INDEX", "BLOCK"):
        anchors.add_column(title)
    for anchor in proof.anchors:
        place = ("–" if number is None else str(number) for number in (anchor.index, anchor.height))
        anchors.add_row(anchor.entry[:16] + "…", anchor.kind, anchor.state, *place)
    out.print(anchors)
    if more := proof.total - len(proof.anchors):
        out.print(f"and {more} more")
