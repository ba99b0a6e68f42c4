"""One supervised run of programs that look at an X display: what is the same for the picture and for events.

A recording that stops while the desktop lives on is a violation, so a run never just ends: it ends with a
cause that tells a stop on request from a screen that changed its size, a display that went away, and a
recorder that was thrown out or killed. It is not begun again here: `Recording` does that, and names the gap.
"""

import abc
import asyncio
import signal
import time
from collections.abc import AsyncGenerator, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, ClassVar, Self

from lucid.kit.tasks import to_its_end
from lucid.sessions.capture_process import CaptureProcess
from lucid.sessions.capture_unit import CaptureUnit
from lucid.sessions.recorder_display import display_answers, sockets_of
from lucid.sessions.recording_errors import RecordingError


class EndCause(StrEnum):
    """Why a run ended. All but ``stopped`` and ``resized`` leave a gap unless the desktop has ended too."""

    STOPPED = "stopped"  # stop() was called, and what there was to write has been written
    RESIZED = "resized"  # the screen has another size now: start another run
    DISPLAY_LOST = "display_lost"  # the X server is gone, or no longer answers
    EVICTED = "evicted"  # the X server lives but has cut a connection of the run's
    STALLED = "stalled"  # the program whose output is read was silent for too long
    KILLED = "killed"  # a signal ended one of the programs
    FAILED = "failed"  # one of them gave up by itself


@dataclass(frozen=True, slots=True)
class CaptureEnd:
    """``detail`` is one line for people: the signal, or the process's own last words."""

    cause: EndCause
    detail: str


class CaptureRun(abc.ABC):
    """A context manager; a subclass says which programs there are, and what is read of them.

    `_start` sets ``_writer``, whose output is read, and ``_client``, which is connected to the display, says
    when it began, and ends on SIGTERM; they may be the same. All that is begun is ended with the run.
    """

    NAME: ClassVar[str]
    """What messages call the run."""
    SECONDS_TO_FINISH: ClassVar[float]
    """How long the programs may go on once they were asked to end."""

    _writer: CaptureProcess
    _client: CaptureProcess

    def __init__(self, display: int, cookie: bytes | None, capture_socket: str, stall_seconds: float) -> None:
        """`capture_socket` as in CaptureSettings; `stall_seconds` is how long the writer may be silent."""
        self._display = display
        self._sockets = sockets_of(display)
        self._cookie = cookie
        self._capture_socket = capture_socket
        self._stall_seconds = stall_seconds
        self._open = AsyncExitStack()
        self._processes: list[CaptureProcess] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._started = 0.0
        self._begin: float | None = None
        self._asked: CaptureEnd | None = None
        """The end that was asked for, or that the run was brought to. The first one stands."""
        self._broken_off = False
        """Whether nothing more is to be read: all programs have been killed."""
        self._end: CaptureEnd | None = None

    async def __aenter__(self) -> Self:
        """Raises DisplayError, CaptureStartError (a process cannot be run)."""
        async with AsyncExitStack() as opened:
            await self._start(opened)
            self._open = opened.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await to_its_end(self._close())

    @property
    def pid(self) -> int:
        return self._writer.pid

    @property
    def age_ms(self) -> int:
        """How long ago the run began to record. Raises RecordingError before there is something to read."""
        if self._begin is None:
            raise RecordingError(f"the {self.NAME} of display :{self._display} has not begun")
        return round(1000 * (time.monotonic() - self._begin))

    @property
    def end(self) -> CaptureEnd:
        """Why the run ended. Raises RecordingError while there may be more to read."""
        if self._end is None:
            raise RecordingError(f"the {self.NAME} of display :{self._display} has not been read to its end")
        return self._end

    @abc.abstractmethod
    async def _start(self, opened: AsyncExitStack) -> None:
        """Start the programs, with `_unit` and `_run`. Raises DisplayError, CaptureStartError."""

    @abc.abstractmethod
    async def _resolve_end(self) -> CaptureEnd:
        """Why the writer has closed its output. Waits for the programs to end."""

    async def _unit(self, opened: AsyncExitStack) -> CaptureUnit | None:
        """Where the programs are to run; None: here. What starts now counts from now."""
        self._started = time.monotonic()
        if not self._capture_socket:
            return None
        unit = await CaptureUnit.open(self._capture_socket)
        opened.push_async_callback(unit.close)
        return unit

    def _run(self, opened: AsyncExitStack, process: CaptureProcess) -> CaptureProcess:
        """A program that has been started, and is to end with the run."""
        self._processes.append(process)
        opened.push_async_callback(process.close)
        return process

    def _beside(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """A task that is to end with the run."""
        task = asyncio.create_task(work, name=f"{self.NAME}-{self._display}-{name}")
        self._tasks.append(task)
        return task

    async def _output(self) -> AsyncGenerator[bytes, None]:
        """What the writer writes, to its end, the reason for which is known afterwards."""
        while not self._broken_off and (data := await self._read()):
            if self._begin is None:
                self._begin = await self._client.first_time(self._started)
            yield data
        self._end = await self._resolve_end()

    async def _read(self) -> bytes:
        try:
            async with asyncio.timeout(self._stall_seconds):
                return await self._writer.read()
        except TimeoutError:
            detail = f"the {self._writer.name} wrote nothing for {self._stall_seconds:g} s"
            self._break_off(CaptureEnd(EndCause.STALLED, detail))
            return b""

    def _finish(self, end: CaptureEnd) -> None:
        """Let the programs write what they have, and end. What has not in time is killed."""
        if self._asked is None:
            self._asked = end
            self._client.signal(signal.SIGTERM)
            self._beside(self._kill_late(), "kill")

    def _break_off(self, end: CaptureEnd) -> None:
        """Kill the programs; nothing more is read, whatever was asked for before."""
        self._asked = end
        self._broken_off = True
        self._kill()

    async def _kill_late(self) -> None:
        await asyncio.sleep(self.SECONDS_TO_FINISH)
        self._kill()

    def _kill(self) -> None:
        for process in self._processes:
            process.signal(signal.SIGKILL)

    async def _close(self) -> None:
        self._kill()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._open.aclose()

    async def _lost(self) -> CaptureEnd | None:
        """The end that it is if the display does not answer any more; else none."""
        if await display_answers(self._display, self._cookie, self._sockets):
            return None
        return CaptureEnd(EndCause.DISPLAY_LOST, f"display :{self._display} is gone or does not answer")

    def _evicted(self, who: str) -> CaptureEnd:
        detail = f"display :{self._display} lives but has cut off the {who}'s connection"
        return CaptureEnd(EndCause.EVICTED, detail)


def killed(process: CaptureProcess, status: int) -> CaptureEnd:
    """The end of a run of which a signal has ended a program: its `status` is less than 0."""
    return CaptureEnd(EndCause.KILLED, f"the {process.name} was ended by {signal.Signals(-status).name}")


async def failed(process: CaptureProcess, status: int, name: str, lines: int) -> CaptureEnd:
    """The end of a run of which a program has given up: with its last words, so many lines of them."""
    words = await process.last_words(lines)
    return CaptureEnd(EndCause.FAILED, f"{name} ended with status {status}: {words}")
