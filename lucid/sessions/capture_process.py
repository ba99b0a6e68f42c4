"""A program of a capture, as a child of ours or in a unit of its own: its output, end and last words."""

import asyncio
import contextlib
import os
import signal
import time
from typing import Protocol

from lucid.sessions import capture_jobs
from lucid.sessions.capture_jobs import Job
from lucid.sessions.capture_unit import CaptureUnit
from lucid.sessions.recording_errors import CaptureStartError, RecordingError

READ_SIZE = 256 * 1024
STDERR_TAIL = 4096
_SECONDS_FOR_WORDS = 2.0
_SECONDS_FOR_A_LINE = 5.0


class Running(Protocol):
    """A process, whoever its parent is; asyncio's own is one."""

    pid: int

    @property
    def returncode(self) -> int | None:
        """None while it runs; minus the number of the signal that ended it."""

    def send_signal(self, signal: int, /) -> None:
        """Raises ProcessLookupError: it has ended."""

    async def wait(self) -> int:
        """Its ``returncode``, waited for."""


class CaptureProcess:
    """Running. ``name`` is what messages call it."""

    def __init__(
        self,
        name: str,
        process: Running,
        stdout: asyncio.StreamReader | None,
        stderr: asyncio.StreamReader,
        pipes: tuple[asyncio.ReadTransport, ...] = (),
    ) -> None:
        self.name = name
        self.pid = process.pid
        self._process = process
        self._stdout = stdout
        self._pipes = pipes
        self._stderr = bytearray()
        self._has_line = asyncio.Event()
        self._listening = asyncio.create_task(self._keep_stderr(stderr), name=f"stderr of {name} {self.pid}")

    @classmethod
    async def start(
        cls,
        job: Job,
        *,
        stdin: int,
        stdout: int = asyncio.subprocess.PIPE,
        unit: CaptureUnit | None = None,
        ffmpeg: str = "ffmpeg",
    ) -> "CaptureProcess":
        """Run a program of a capture.

        Args:
            stdin: a descriptor, which stays the caller's.
            stdout: likewise, or PIPE for ``read``.
            unit: where it is to run; None: as a child, which dies with this process.
            ffmpeg: the encoder as a child; a unit has its own.

        Raises:
            CaptureStartError: it cannot be run.
        """
        if unit is not None:
            return await _start_in(unit, job, stdin, stdout)
        command = capture_jobs.command(job, ffmpeg)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=stdin,
                stdout=stdout,
                stderr=asyncio.subprocess.PIPE,
                limit=READ_SIZE // 2,
                env=capture_jobs.environment(job),
                start_new_session=True,  # a Ctrl-C at the terminal is for us to handle
                preexec_fn=capture_jobs.die_with_parent(),
            )
        except OSError as error:
            raise CaptureStartError(f"{job.kind}={command[0]!r} cannot be run: {error}") from error
        assert process.stderr is not None  # noqa: S101 - tells mypy what PIPE means
        return cls(job.kind, process, process.stdout, process.stderr)

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    async def read(self) -> bytes:
        """The next bytes of its standard output, at most ``READ_SIZE``; none at the end."""
        assert self._stdout is not None  # noqa: S101 - tells mypy what PIPE means
        return await self._stdout.read(READ_SIZE)

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

    async def first_time(self, since: float) -> float:
        """The first line as a time of the monotonic clock, not before `since`. Raises RecordingError."""
        with contextlib.suppress(TimeoutError, ValueError):
            async with asyncio.timeout(_SECONDS_FOR_A_LINE):
                told = float(await self.first_line())
            if since <= told <= time.monotonic():
                return told
        raise RecordingError(f"the {self.name} does not say when it began")

    async def last_words(self, lines: int) -> str:
        """The last lines on its standard error. To be asked once it has ended."""
        await asyncio.wait([self._listening], timeout=_SECONDS_FOR_WORDS)
        return " | ".join(self._stderr.decode(errors="replace").strip().splitlines()[-lines:])

    async def close(self) -> None:
        """Kill it if it still runs."""
        await self.end_within(0)
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        for pipe in self._pipes:
            pipe.close()

    async def _keep_stderr(self, stderr: asyncio.StreamReader) -> None:
        while data := await stderr.read(STDERR_TAIL):
            self._stderr += data
            del self._stderr[:-STDERR_TAIL]
            if b"\n" in self._stderr:
                self._has_line.set()
        self._has_line.set()


async def _start_in(unit: CaptureUnit, job: Job, stdin: int, stdout: int) -> CaptureProcess:
    """As ``CaptureProcess.start``, with pipes of ours whose other ends the unit is given."""
    pipes: list[asyncio.ReadTransport] = []
    given: list[int] = []
    try:
        stderr, stderr_end = await _pipe(pipes, given)
        out, out_end = await _pipe(pipes, given) if stdout == asyncio.subprocess.PIPE else (None, stdout)
        process = await unit.start(job, stdin=stdin, stdout=out_end, stderr=stderr_end)
    except BaseException:
        for pipe in pipes:
            pipe.close()
        raise
    finally:
        for each in given:
            os.close(each)
    return CaptureProcess(job.kind, process, out, stderr, tuple(pipes))


async def _pipe(pipes: list[asyncio.ReadTransport], given: list[int]) -> tuple[asyncio.StreamReader, int]:
    """What can be read of a new pipe, and its other end; both go on the lists of what is to be closed."""
    reading, writing = os.pipe()
    given.append(writing)
    reader = asyncio.StreamReader(limit=READ_SIZE // 2)
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: protocol, os.fdopen(reading, "rb", buffering=0)
    )
    pipes.append(transport)
    return reader, writing
