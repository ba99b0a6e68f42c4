"""What other commands can find out about a stack: whether one runs on a state directory, and where."""

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from lucid.dev.errors import StackError
from lucid.dev.layout import State, write_private

_LOCK_SECONDS = 1.0


class Program(msgspec.Struct, frozen=True):
    """A process of the stack; `pid` is None while it waits to be started again."""

    name: str
    pid: int | None
    restarts: int
    log: str


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A running stack."""

    pid: int
    """Of the supervisor."""
    state: Literal["starting", "ready", "stopping"]
    started_ms: int
    """Milliseconds since the Unix epoch."""
    api: str
    """Base URL of the gateway."""
    ca: str
    """File with the certificate of the authority that the gateway's comes from."""
    operator: str
    """File with the first account."""
    mongodb_url: str
    redis_url: str
    programs: tuple[Program, ...]


@contextlib.contextmanager
def hold(state: State) -> Iterator[None]:
    """Holds the state directory, which must exist. Raises StackError if another stack does."""
    with state.lock.open("a") as file:
        until = time.monotonic() + _LOCK_SECONDS
        while not _locked(file.fileno()):
            # A command that looks whether a stack runs holds the lock for a moment.
            if time.monotonic() > until:
                raise StackError(
                    f"a stack runs on {state.directory} already: see `lucid dev status`,"
                    " end it with `lucid dev stop`, or name another directory with --state"
                )
            time.sleep(0.02)
        state.running.unlink(missing_ok=True)  # of a stack that was killed
        try:
            yield
        finally:
            state.running.unlink(missing_ok=True)


def publish(state: State, running: Running) -> None:
    """Tells other commands."""
    write_private(state.running, msgspec.json.format(msgspec.json.encode(running), indent=2) + b"\n")


def find(state: State) -> Running | None:
    """The stack that runs on this directory, or None."""
    if not _held(state.lock):
        return None
    try:
        return msgspec.json.decode(state.running.read_bytes(), type=Running)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def _held(lock: Path) -> bool:
    try:
        with lock.open("r") as file:
            return not _locked(file.fileno())
    except FileNotFoundError:
        return False


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
