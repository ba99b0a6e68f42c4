"""`lucid dev`: the single-machine stack."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from rich.live import Live

from lucid.cli import dev_view
from lucid.cli.output import Away, Failure, err, out, print_json, run
from lucid.cli.target import json_option, state_option
from lucid.dev import running
from lucid.dev.layout import State
from lucid.dev.stack import Stack, prepared

DETACHED_SECONDS = 900.0
"""Long enough to fetch the databases over a slow line."""
STOP_SECONDS = 180.0
_REDRAW_SECONDS = 1.0
_MESSAGES = 8


@click.group(
    invoke_without_command=True,
    epilog="Examples: lucid dev; lucid dev --detach --fresh; lucid dev status --json; lucid dev stop",
)
@state_option
@click.option("--fresh", is_flag=True, help="Forget all that earlier runs left: recordings, chain, accounts.")
@click.option(
    "--detach", "detached", is_flag=True, help="Return when everything is ready and leave it running."
)
@click.pass_context
def dev(context: click.Context, directory: Path | None, fresh: bool, detached: bool) -> None:
    """Run all of Lucid on this machine, on loopback only, until Ctrl-C.

    It starts MongoDB and Redis (those installed, else fetched ones; none where LUCID_MONGODB_URL or
    LUCID_REDIS_URL name running ones) and one process for each service, with a throwaway certificate
    authority. What ends is started again. State is kept between runs unless --fresh is given.
    """
    state = State.at(directory)
    context.obj = state
    if context.invoked_subcommand is None:
        detach(state, fresh=fresh) if detached else run(_foreground(state, fresh))


@dev.command(epilog="Example: lucid dev status --json | jq '.[] | select(.health != \"healthy\")'")
@state_option
@json_option
@click.pass_obj
def status(state: State, directory: Path | None, as_json: bool) -> None:
    """Show every process: its health as it says itself, how long that took, restarts and memory.

    Exit code 4 if no stack runs.
    """
    state = State.at(directory) if directory else state
    rows = run(dev_view.rows_of_running(_running(state), state))
    if as_json:
        print_json(rows)
    else:
        out.print(dev_view.table(rows))


@dev.command(epilog="Example: lucid dev stop")
@state_option
@click.pass_obj
def stop(state: State, directory: Path | None) -> None:
    """Stop the stack and wait until everything has ended. What is recorded stays."""
    state = State.at(directory) if directory else state
    found = _running(state)
    with contextlib.suppress(ProcessLookupError):
        os.kill(found.pid, signal.SIGTERM)
    until = time.monotonic() + STOP_SECONDS
    while running.find(state) is not None:
        if time.monotonic() > until:
            raise Failure(f"the stack (process {found.pid}) has not ended after {STOP_SECONDS:g} s")
        time.sleep(0.1)
    err.print("stopped")


def _running(state: State) -> running.Running:
    found = running.find(state)
    if found is None:
        raise Away(f"no stack runs on {state.directory}: start one with `lucid dev`")
    return found


async def _foreground(state: State, fresh: bool) -> None:
    """Runs the stack until a signal; shows it live on a terminal, line by line elsewhere."""
    over = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    messages: deque[str] = deque(maxlen=_MESSAGES)
    say = messages.append if out.is_terminal else out.print
    async with prepared(state, fresh=fresh, say=say) as stack:
        work = asyncio.create_task(_work(stack, say))
        end = asyncio.create_task(over.wait())
        with _screen() as screen:
            while not (work.done() or end.done()):
                if screen:
                    screen.update(dev_view.live(stack, messages, state.logs), refresh=True)
                await asyncio.wait({work, end}, timeout=_REDRAW_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        end.cancel()
        if work.done():
            work.result()
        work.cancel()
        await asyncio.wait({work})
        err.print("stopping …")


async def _work(stack: Stack, say: Callable[[str], None]) -> None:
    await stack.start()
    say(f"Lucid is ready on {stack.api}")
    await stack.watch()


@contextlib.contextmanager
def _screen() -> Iterator[Live | None]:
    if not out.is_terminal:
        yield None
        return
    with Live(console=out, auto_refresh=False) as screen:
        yield screen


def detach(state: State, *, fresh: bool) -> None:
    """Starts the stack as a process of its own and waits until it is ready. Raises Failure."""
    if found := running.find(state):
        raise Failure(
            f"a stack runs on {state.directory} already (process {found.pid}): see `lucid dev stop`"
        )
    state.create()
    log = state.directory / "stack.log"
    argv = [sys.executable, "-m", "lucid", "dev", "--state", str(state.directory)]
    argv += ["--fresh"] if fresh else []
    with log.open("wb") as output:
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    until = time.monotonic() + DETACHED_SECONDS
    with err.status("starting"):
        while (found := running.find(state)) is None or (found.pid, found.state) != (child.pid, "ready"):
            if child.poll() is not None:
                raise Failure(log.read_text(errors="replace").strip().removeprefix("lucid: "))
            if time.monotonic() > until:
                child.terminate()
                raise Failure(f"the stack is not ready after {DETACHED_SECONDS:g} s; its log is {log}")
            time.sleep(0.1)
    err.print(f"ready on {found.api}; `lucid dev status` shows it, `lucid dev stop` ends it")
