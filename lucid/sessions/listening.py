"""One run of the listener on one X display, supervised from start to end, beside the picture's capture."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Self

import msgspec

from lucid.contracts.session_recorder import Events
from lucid.kit.tasks import to_its_end
from lucid.sessions import events, handed_over, listen
from lucid.sessions.capture import CaptureEnd, EndCause, sockets_of
from lucid.sessions.capture_jobs import LISTENER, Job
from lucid.sessions.capture_process import CaptureProcess
from lucid.sessions.capture_unit import CaptureUnit
from lucid.sessions.events import Line, Still
from lucid.sessions.recorder_display import connect, display_answers
from lucid.sessions.recording_errors import RecordingError

STALL_SECONDS = 10.0
"""The listener says something once a second."""
SECONDS_TO_FINISH = 5.0


class Listener:
    """Use as a context manager, and iterate over it for its lines::

        async with Listener(7, cookie, ("input",)) as listener:
            async for line in listener:
                ...
        listener.end  # why there are no more

    `capture_socket` as in CaptureSettings: the listener, too, runs in a unit of its own there.
    """

    _process: CaptureProcess

    def __init__(self, display: int, cookie: bytes, what: Sequence[Events], capture_socket: str = "") -> None:
        self._display = display
        self._cookie = cookie
        self._what = what
        self._capture_socket = capture_socket
        self._unit: CaptureUnit | None = None
        self._started = 0.0
        self._begin: float | None = None
        self._asked: CaptureEnd | None = None
        self._end: CaptureEnd | None = None
        self._killing: asyncio.Task[int] | None = None

    async def __aenter__(self) -> Self:
        """Raises DisplayError, CaptureStartError (it cannot be run)."""
        self._started = time.monotonic()
        if self._capture_socket:
            self._unit = await CaptureUnit.open(self._capture_socket)
        try:
            with (
                await connect(self._display, sockets_of(self._display)) as connected,
                handed_over.give(connected, self._cookie) as stdin,
            ):
                job = Job(LISTENER, (str(self._display), ",".join(self._what)))
                self._process = await CaptureProcess.start(job, stdin=stdin.fileno(), unit=self._unit)
        except BaseException:
            if self._unit is not None:
                await self._unit.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await to_its_end(self._close())

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def age_ms(self) -> int:
        """How long ago it began. Raises RecordingError before there are lines."""
        if self._begin is None:
            raise RecordingError(f"the listener of display :{self._display} has not begun")
        return round(1000 * (time.monotonic() - self._begin))

    @property
    def end(self) -> CaptureEnd:
        """Why the run ended. Raises RecordingError while there may be more to read."""
        if self._end is None:
            raise RecordingError(f"the listener of display :{self._display} has not been read to its end")
        return self._end

    def stop(self) -> None:
        """Ask for the end. Keep iterating: the last lines are still to come, for at most 5 s."""
        if self._asked is None:
            self._asked = CaptureEnd(EndCause.STOPPED, "stopped on request")
            self._process.signal(signal.SIGTERM)
            self._killing = asyncio.create_task(self._process.end_within(SECONDS_TO_FINISH))

    async def __aiter__(self) -> AsyncIterator[Line | Still]:
        rest = b""
        while data := await self._read():
            *lines, rest = (rest + data).split(b"\n")
            if self._begin is None:
                self._begin = await self._process.first_time(self._started)
            for line in lines:
                try:
                    yield events.decode(line)
                except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                    self._give_up(f"the listener wrote what is no event: {error}")
                    break
            if len(rest) > events.LONGEST_LINE:
                self._give_up("the listener wrote a line without an end")
        self._end = await self._resolve_end()

    async def _read(self) -> bytes:
        if self._asked is not None and self._asked.cause is not EndCause.STOPPED:
            return b""
        try:
            async with asyncio.timeout(STALL_SECONDS):
                return await self._process.read()
        except TimeoutError:
            self._asked = CaptureEnd(EndCause.STALLED, f"the listener wrote nothing for {STALL_SECONDS:g} s")
            self._process.signal(signal.SIGKILL)
            return b""

    def _give_up(self, why: str) -> None:
        self._asked = CaptureEnd(EndCause.FAILED, why)
        self._process.signal(signal.SIGKILL)

    async def _resolve_end(self) -> CaptureEnd:
        status = await self._process.end_within(SECONDS_TO_FINISH)
        if self._asked is not None and (status == 0 or self._asked.cause is not EndCause.STOPPED):
            return self._asked
        if status < 0:
            return CaptureEnd(EndCause.KILLED, f"the listener was ended by {signal.Signals(-status).name}")
        if status == listen.CUT_OFF:
            if await display_answers(self._display, self._cookie, sockets_of(self._display)):
                detail = f"display :{self._display} lives but has cut off the listener's connection"
                return CaptureEnd(EndCause.EVICTED, detail)
            return CaptureEnd(EndCause.DISPLAY_LOST, f"display :{self._display} is gone or does not answer")
        words = await self._process.last_words(1)
        return CaptureEnd(EndCause.FAILED, f"the listener ended with status {status}: {words}")

    async def _close(self) -> None:
        if self._killing is not None:
            self._killing.cancel()
            await asyncio.gather(self._killing, return_exceptions=True)
        await self._process.close()
        if self._unit is not None:
            await self._unit.close()
