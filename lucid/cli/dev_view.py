"""The stack as a table: live while it runs, or once."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import msgspec
from rich.console import Group
from rich.markup import escape
from rich.table import Table

from lucid import catalog
from lucid.cli.output import size
from lucid.dev import memory
from lucid.dev.layout import State
from lucid.dev.probe import DOWN, Observed, Prober
from lucid.dev.running import Running
from lucid.dev.stack import Stack, ask

COLOURS = {"healthy": "green", "up": "green", "degraded": "yellow", "draining": "yellow"}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One process of the stack."""

    name: str
    pid: int | None
    health: str
    milliseconds: float
    restarts: int
    memory_bytes: int
    detail: str


def rows_of(stack: Stack) -> list[Row]:
    """The stack of this process."""
    used = memory.by_group()
    return [
        _row(item.name, item.process.pid if item.process else None, item.restarts, item.observed, used)
        for item in stack.programs
    ]


async def rows_of_running(running: Running, state: State) -> list[Row]:
    """A stack that another process supervises; everybody is asked now."""
    names = catalog.load()
    used = memory.by_group()
    async with Prober(state.tls) as prober:

        async def observe(name: str, pid: int | None) -> Observed:
            return DOWN if pid is None else await ask(prober, names, name)

        found = await asyncio.gather(*(observe(program.name, program.pid) for program in running.programs))
    return [
        _row(program.name, program.pid, program.restarts, observed, used)
        for program, observed in zip(running.programs, found, strict=True)
    ]


def table(rows: Iterable[Row]) -> Table:
    """For people."""
    shown = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("SERVICE", "PID", "HEALTH", "MS", "RESTARTS", "MEMORY", ""):
        shown.add_column(title, justify="left" if title in {"SERVICE", "HEALTH", ""} else "right")
    for row in rows:
        shown.add_row(
            row.name,
            str(row.pid or "–"),
            f"[{COLOURS.get(row.health, 'red')}]{row.health}",
            f"{row.milliseconds:.0f}",
            str(row.restarts),
            size(row.memory_bytes),
            f"[dim]{escape(row.detail[:60])}",
        )
    return shown


def live(stack: Stack, messages: Iterable[str], logs: Path) -> Group:
    """The stack with the newest messages below it."""
    colour = "green" if stack.phase == "ready" else "yellow"
    head = f"[bold]Lucid[/bold] on {stack.api}  [{colour}]{stack.phase}[/]  logs in {escape(str(logs))}"
    foot = "\n".join(f"[dim]{escape(message)}" for message in messages)
    return Group(head, "", table(rows_of(stack)), "", foot, "[dim]Ctrl-C stops it")


def _row(name: str, pid: int | None, restarts: int, observed: Observed, used: dict[int, int]) -> Row:
    return Row(
        name=name,
        pid=pid,
        health=observed.status,
        milliseconds=observed.milliseconds,
        restarts=restarts,
        memory_bytes=used.get(pid, 0) if pid else 0,
        detail=observed.detail,
    )
