"""`lucid record`: records a display, or a command on a display of its own."""

import asyncio
import contextlib
import re
import signal
from collections.abc import Iterator
from typing import Any, cast

import click
from rich.progress import BarColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as Bar

from lucid.cli import desktop
from lucid.cli.api import Target
from lucid.cli.desktop import Desktop
from lucid.cli.output import Failure, clock, err, out, print_json, run, size
from lucid.cli.recording import Progress, Recording, Show
from lucid.cli.sessions import Details, details_of
from lucid.cli.target import json_option, target_options
from lucid.contracts.session_api import CreateSession
from lucid.evidence.policy import Quality

PLAIN_SECONDS = 5.0
"""How often a line is printed where there is no terminal."""


class Matching(click.ParamType[str]):
    """Text of a form that is easily got wrong."""

    def __init__(self, name: str, pattern: str, example: str) -> None:
        self.name = name
        self._pattern = re.compile(pattern)
        self._example = example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text itself."""
        if not self._pattern.fullmatch(value):
            self.fail(f"{value!r} is not of the form {self._example}", param, ctx)
        return str(value)


@click.command(
    epilog="Examples: lucid record --seconds 20 -- xclock -update 1; lucid record --display :10 --name audit"
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--display",
    type=Matching("DISPLAY", r":[0-9]{1,5}(\.[0-9]{1,2})?", ":10"),
    help="A display of this machine; its cookie is taken from $XAUTHORITY or ~/.Xauthority.",
)
@click.option("--seconds", type=click.FloatRange(min=1), help="Stop after this time.")
@click.option("--fps", type=click.IntRange(1, 120), default=30, show_default=True, help="Frames a second.")
@click.option(
    "--quality", type=click.Choice(["low", "medium", "high", "ultra"]), default="high", show_default=True
)
@click.option("--name", default="", help="What to call the session.")
@click.option(
    "--size",
    "screen",
    type=Matching("WxH", r"[1-9][0-9]{2,3}x[1-9][0-9]{2,3}", "1280x720"),
    default="1280x720",
    show_default=True,
    help="Size of the command's own display.",
)
@click.option("--wait/--no-wait", default=True, help="Wait until the recording is anchored (default).")
@json_option
@target_options
def record(
    command: tuple[str, ...],
    display: str | None,
    seconds: float | None,
    fps: int,
    quality: str,
    name: str,
    screen: str,
    wait: bool,
    as_json: bool,
    target: Target,
) -> None:
    """Record COMMAND on an X display of its own, or a display that is there already.

    The recording ends with the command, after --seconds, or with Ctrl-C; a second Ctrl-C no longer waits for
    the anchor. The recorder must run on this machine.
    """
    if bool(command) == bool(display):
        raise click.UsageError("name either a display (--display :10) or a command (-- xclock), not both")
    how = CreateSession(name=name, frame_rate=fps, quality=cast("Quality", quality))
    place = contextlib.nullcontext(desktop.existing(display)) if display else desktop.started(command, screen)
    with place as found, meter(seconds) as show:
        details = run(record_desktop(target, how, found, seconds, wait=wait, show=show))
    print_json(details) if as_json else _summarise(details)
    if details.session.state == "failed":
        raise Failure(f"the recording failed: {details.session.error or details.session.end_reason}")


async def record_desktop(
    target: Target, how: CreateSession, found: Desktop, seconds: float | None, *, wait: bool, show: Show
) -> Details:
    """Records until the command or the time is over or a signal comes; `wait`s for the anchor.

    Raises ApiError.
    """
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted.set)
    async with target.open() as api:
        recording = await Recording.begin(api, how, found, show)
        err.print(f"recording {found.name} as session {recording.session.id}")
        await recording.until_over(found, seconds, interrupted)
        await recording.stop()
        if found.command is not None and found.command.status:
            err.print(f"{found.command.name} {found.command.ending}:\n{found.command.last_words()}")
        if wait:
            interrupted.clear()
            await recording.until_anchored(interrupted)
        return await details_of(api, recording.session.id)


@contextlib.contextmanager
def meter(seconds: float | None) -> Iterator[Show]:
    """Shows progress: a bar on a terminal, a line now and then elsewhere."""
    if not err.is_terminal:
        yield _Lines().show
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24))
    with Bar(*columns, console=err, transient=True) as bar:
        task = bar.add_task("starting", total=seconds)
        yield lambda progress: bar.update(task, completed=progress.seconds, description=_line(progress))


class _Lines:
    def __init__(self) -> None:
        self._next = 0.0

    def show(self, progress: Progress) -> None:
        if progress.seconds >= self._next:
            self._next = progress.seconds + PLAIN_SECONDS
            err.print(_line(progress))


def _line(progress: Progress) -> str:
    session, pipeline = progress.session, progress.pipeline
    text = f"{session.state} {clock(progress.seconds)}  {session.chunks} chunks, {size(session.raw_bytes)}"
    if pipeline is None:
        return text
    return f"{text}  {pipeline.stored} stored, {pipeline.anchored} anchored"


def _summarise(details: Details) -> None:
    session, pipeline = details.session, details.pipeline
    state = "anchored" if details.proof.anchored else f"{session.state}, not yet anchored"
    err.print(
        f"{session.chunks} chunks, {size(session.raw_bytes)} recorded, {size(pipeline.sealed_bytes)} stored;"
        f" {state}\nfetch the evidence with `lucid bundle {session.id}`"
    )
    out.print(session.id)
