"""Starts programs so that none of them outlives the one who started them."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from lucid.dev import guardian

STOP_SECONDS = 20.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True, eq=False, slots=True)
class Process:
    """A program that was started, leader of a session and process group of its own."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None = field(repr=False)
    log: Path
    _popen: subprocess.Popen[bytes] = field(repr=False)
    _keeper: "Processes" = field(repr=False)

    @property
    def pid(self) -> int:
        """Of the leader; also the id of its group."""
        return self._popen.pid

    @property
    def status(self) -> int | None:
        """Exit status once it has ended: negative for a signal, None while it runs."""
        return self._popen.poll()

    @property
    def ending(self) -> str:
        """For people: how it ended."""
        status = self.status
        if status is None:
            return "still runs"
        return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"

    def stop(self, limit: float = STOP_SECONDS) -> None:
        """SIGTERM to the leader, which takes care of its children; SIGKILL to all after `limit` seconds.

        Returns when the leader is gone.
        """
        if self.status is None:
            self._popen.terminate()
        until = time.monotonic() + limit
        while self.status is None and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to whatever is left of the group: children may hold the leader's sockets."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()
        self._keeper.forget(self)

    def last_words(self, lines: int = 5) -> str:
        """The end of its log, for an error message."""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - 16 * 1024))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])


class Processes:
    """A context within which programs run; leaving it ends them, last started first.

    A guardian process ends them when this process is killed.
    """

    def __init__(self) -> None:
        self._running: list[Process] = []

    def __enter__(self) -> Self:
        self._guardian = subprocess.Popen(
            [sys.executable, "-I", guardian.__file__],
            stdin=subprocess.PIPE,
            start_new_session=True,
            bufsize=0,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in reversed(self._running.copy()):
            process.stop()
        self._guardian.communicate()

    def start(
        self,
        name: str,
        argv: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Process:
        """Starts a program with its output appended to `log`. `env` is its whole environment.

        Raises OSError if there is no such program or it cannot be run.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            popen = subprocess.Popen(
                argv,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=pass_fds,
            )
        process = Process(name, argv, env, log, popen, self)
        self._running.append(process)
        self._tell(f"+{process.pid}\n")
        return process

    def start_again(self, process: Process) -> Process:
        """Starts the program of a process that has ended once more."""
        return self.start(process.name, process.argv, process.log, process.env)

    def forget(self, process: Process) -> None:
        """A process has ended and is nobody's concern any more."""
        if process in self._running:
            self._running.remove(process)
            self._tell(f"-{process.pid}\n")

    def _tell(self, line: str) -> None:
        assert self._guardian.stdin is not None  # noqa: S101 - it was asked for with a pipe
        self._guardian.stdin.write(line.encode())
