"""A child process of a capture: dies with its parent, and its last words are kept."""

import asyncio
import contextlib
import ctypes
import os
import signal
from collections.abc import Callable, Mapping, Sequence

from lucid.sessions.recording_errors import CaptureStartError

READ_SIZE = 256 * 1024
STDERR_TAIL = 4096

_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


class CaptureProcess:
    """Running. ``name`` is what messages call it."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.pid = process.pid
        self._process = process
        self._stderr = bytearray()
        self._has_line = asyncio.Event()
        self._listening = asyncio.create_task(self._keep_stderr(), name=f"stderr of {name} {self.pid}")

    @classmethod
    async def start(
        cls,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        stdin: int,
        stdout: int = asyncio.subprocess.PIPE,
    ) -> "CaptureProcess":
        """Run a command. ``stdin`` and ``stdout`` as for asyncio.create_subprocess_exec.

        Raises:
            CaptureStartError: it cannot be run.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=stdin,
                stdout=stdout,
                stderr=asyncio.subprocess.PIPE,
                limit=READ_SIZE // 2,
                env=environment,
                start_new_session=True,  # a Ctrl-C at the terminal is for us to handle
                preexec_fn=_die_with_parent(os.getpid()),
            )
        except OSError as error:
            raise CaptureStartError(f"{name}={command[0]!r} cannot be run: {error}") from error
        return cls(name, process)

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    async def read(self) -> bytes:
        """The next bytes of its standard output, at most ``READ_SIZE``; none at the end."""
        assert self._process.stdout is not None  # noqa: S101 - tells mypy what PIPE means
        return await self._process.stdout.read(READ_SIZE)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def wait(self) -> int:
        """Its exit status, or minus the number of the signal that ended it."""
        return await self._process.wait()

    async def end_within(self, seconds: float) -> int:
        """Wait for its end, and kill it when that has not come by itself. Returns as ``wait``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self.wait()
        self.signal(signal.SIGKILL)
        return await self.wait()

    async def first_line(self) -> str:
        """The first line on its standard error, waited for. To be asked before much else can be there."""
        await self._has_line.wait()
        return self._stderr.decode(errors="replace").partition("\n")[0]

    async def last_words(self, lines: int) -> str:
        """The last lines on its standard error. To be asked once it has ended."""
        await self._listening
        return " | ".join(self._stderr.decode(errors="replace").strip().splitlines()[-lines:])

    async def close(self) -> None:
        """Kill it if it still runs."""
        await self.end_within(0)
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)

    async def _keep_stderr(self) -> None:
        assert self._process.stderr is not None  # noqa: S101 - tells mypy what PIPE means
        while data := await self._process.stderr.read(STDERR_TAIL):
            self._stderr += data
            del self._stderr[:-STDERR_TAIL]
            if b"\n" in self._stderr:
                self._has_line.set()
        self._has_line.set()


def _die_with_parent(parent: int) -> Callable[[], None]:
    """What the child does between fork and exec: have the kernel kill it when its parent dies (prctl(2)).

    The parent may have died before that; the child then leaves at once. Only async-signal-safe calls, and
    no lock that another thread might have held at the fork.
    """

    def arrange() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL.value, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return arrange
