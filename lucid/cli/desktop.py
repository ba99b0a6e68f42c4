"""Desktops to record: a command under an X server of its own, or the cookie of one that is there already."""

import contextlib
import os
import secrets
import select
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lucid.cli.output import Failure
from lucid.dev.processes import Process, Processes
from lucid.sessions.recording_errors import XauthorityError
from lucid.sessions.xauthority import COOKIE_SIZE, find_cookie, parse, write_cookie

SERVER = "Xvfb"
START_SECONDS = 15.0
STOP_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Desktop:
    """A display, the cookie that opens it, and the command on it if it was started for one."""

    number: int
    cookie: bytes = field(repr=False)
    command: Process | None = None

    @property
    def name(self) -> str:
        """As in $DISPLAY, e.g. `:10`."""
        return f":{self.number}"

    @property
    def over(self) -> bool:
        """Whether the command has ended."""
        return self.command is not None and self.command.status is not None


def existing(display: str) -> Desktop:
    """A display that runs already, with its cookie from $XAUTHORITY or ~/.Xauthority. Raises Failure."""
    number = int(display.removeprefix(":").partition(".")[0])
    path = Path(os.environ.get("XAUTHORITY") or Path.home() / ".Xauthority")
    try:
        return Desktop(number, find_cookie(parse(path.read_bytes()), number))
    except OSError as error:
        reason = f"{path}: {error.strerror}"
    except XauthorityError as error:
        reason = f"{path}: {error}"
    raise Failure(
        f"there is no cookie for display {display}; {reason}; set XAUTHORITY to the file that has it"
    )


@contextlib.contextmanager
def started(command: Sequence[str], size: str, number: int | None = None) -> Iterator[Desktop]:
    """Runs `command` on an X server of its own; both end with the context. Raises Failure.

    The server listens on no network, has a random cookie, and picks a display number that is free, unless it
    is given one. It looks for those that are taken in its own network namespace.
    """
    for program in (SERVER, command[0]):
        if shutil.which(program) is None:
            package = " (package xvfb)" if program == SERVER else ""
            raise Failure(f"{program} is not on PATH; install it{package}")
    cookie = secrets.token_bytes(COOKIE_SIZE)
    with tempfile.TemporaryDirectory(prefix="lucid-desktop-") as scratch, Processes() as processes:
        xauthority = Path(scratch) / "xauthority"
        # The number isn't known yet; a server takes every cookie of its file whatever number stands there.
        write_cookie(xauthority, 0, cookie)
        server, number = _start_server(processes, xauthority, size, Path(scratch) / "server.log", number)
        write_cookie(xauthority, number, cookie)
        env = os.environ | {"DISPLAY": f":{number}", "XAUTHORITY": str(xauthority)}
        running = processes.start(command[0], command, Path(scratch) / "command.log", env)
        try:
            yield Desktop(number, cookie, running)
        finally:
            running.stop(STOP_SECONDS)
            server.stop(STOP_SECONDS)


def _start_server(
    processes: Processes, xauthority: Path, size: str, log: Path, number: int | None
) -> tuple[Process, int]:
    """The server and its display number, which it writes into a pipe when it is ready."""
    reading, writing = os.pipe()
    argv = [
        SERVER,
        *([] if number is None else [f":{number}"]),
        "-displayfd",
        str(writing),
        "-screen",
        "0",
        f"{size}x24",
    ]
    argv += ["-nolisten", "tcp", "-auth", str(xauthority), "-noreset"]
    try:
        server = processes.start(SERVER, argv, log, pass_fds=[writing])
    finally:
        os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        answer = b""
        until = time.monotonic() + START_SECONDS
        while not answer.endswith(b"\n"):
            readable, _, _ = select.select([pipe], [], [], max(0.0, until - time.monotonic()))
            piece = pipe.read(16) if readable else b""
            if not piece:
                raise Failure(f"{SERVER} does not start:\n{server.last_words()}")
            answer += piece
    return server, int(answer)
