"""One run of the grabber and the encoder on one X display, supervised from start to end.

A recording that stops while the desktop lives on is a violation, so a run never just ends: it ends with a
cause that tells a stop on request from a screen that changed its size, a display that went away, and a
recorder that was thrown out or killed.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from lucid.contracts import xrdp
from lucid.kit.tasks import to_its_end
from lucid.sessions import grab, handed_over
from lucid.sessions.capture_jobs import ENCODER, GRABBER, Job
from lucid.sessions.capture_process import CaptureProcess
from lucid.sessions.capture_unit import CaptureUnit
from lucid.sessions.recorder_display import DisplayWatch, connect, display_answers
from lucid.sessions.recorder_encoder import CaptureSettings, check_screen
from lucid.sessions.recording_errors import RecordingError
from lucid.sessions.x11_wire import SOCKETS, ScreenSize

SECONDS_TO_FINISH = 10.0
_SECONDS_FOR_THE_WATCH = 0.5
_SECONDS_FOR_THE_GRABBER = 2.0
_STOPPED_BY_A_SIGNAL = 255
"""ffmpeg's status after SIGINT or SIGTERM, on which it writes its last fragment."""


class EndCause(StrEnum):
    """Why a run ended. All but ``stopped`` and ``resized`` leave a gap unless the desktop has ended too."""

    STOPPED = "stopped"  # stop() was called, and the encoder wrote its last fragment
    RESIZED = "resized"  # the screen has another size now: start another run
    DISPLAY_LOST = "display_lost"  # the X server is gone, or no longer answers
    EVICTED = "evicted"  # the X server lives but has cut the recorder's connection
    STALLED = "stalled"  # the encoder was silent for too long
    KILLED = "killed"  # a signal ended the encoder or the grabber
    FAILED = "failed"  # one of them gave up by itself


@dataclass(frozen=True, slots=True)
class CaptureEnd:
    """``detail`` is one line for people: the signal, or the process's own last words."""

    cause: EndCause
    detail: str


class Capture:
    """Use as a context manager, and iterate over it for the MP4 stream's bytes::

        async with Capture(7, cookie, settings) as capture:
            async for data in capture:
                ...
        capture.end  # why there are no more bytes

    Reading slowly slows the encoder down, and that the grabber: at most 256 KiB wait here.
    ``pid`` is the encoder's, ``grabber_pid`` the grabber's.
    """

    size: ScreenSize
    _grabber: CaptureProcess
    _encoder: CaptureProcess

    def __init__(self, display: int, cookie: bytes | None, settings: CaptureSettings) -> None:
        self._display = display
        self._sockets = sockets_of(display)
        self._cookie = cookie
        self._settings = settings
        self._unit: CaptureUnit | None = None
        self._started = 0.0
        self._begin: float | None = None
        self._asked: CaptureEnd | None = None
        self._end: CaptureEnd | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Raises DisplayError or CaptureStartError (a process cannot be run)."""
        self._watch = await DisplayWatch.open(self._display, self._cookie, self._sockets)
        try:
            self.size = self._watch.size
            check_screen(self.size)
            await self._start()
        except BaseException:
            await self._watch.close()
            raise
        self._watching = asyncio.create_task(self._end_on_change(), name=f"capture-{self._display}-watch")
        self._tasks.append(self._watching)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await to_its_end(self._close())

    @property
    def pid(self) -> int:
        return self._encoder.pid

    @property
    def grabber_pid(self) -> int:
        return self._grabber.pid

    @property
    def age_ms(self) -> int:
        """How long ago the first picture was taken. Raises RecordingError before there are bytes."""
        if self._begin is None:
            raise RecordingError(f"the capture of display :{self._display} has not begun")
        return round(1000 * (time.monotonic() - self._begin))

    @property
    def end(self) -> CaptureEnd:
        """Why the run ended. Raises RecordingError while there may be more bytes to read."""
        if self._end is None:
            raise RecordingError(f"the capture of display :{self._display} has not been read to its end")
        return self._end

    def stop(self) -> None:
        """Ask for the end. Keep iterating: the last fragment, with the last picture, is still to come.

        What has not finished within 10 s is killed.
        """
        if self._grabber.running and self._encoder.running:  # else it has ended for another cause
            self._finish(CaptureEnd(EndCause.STOPPED, "stopped on request"))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self._read():
            if self._begin is None:
                self._begin = await self._grabber.first_time(self._started)
            yield data
        self._end = await self._resolve_end()

    async def _close(self) -> None:
        self._kill()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._encoder.close()
        await self._grabber.close()
        if self._unit is not None:
            await self._unit.close()
        await self._watch.close()

    async def _start(self) -> None:
        self._started = time.monotonic()
        if self._settings.capture_socket:
            self._unit = await CaptureUnit.open(self._settings.capture_socket)
        try:
            await self._start_processes()
        except BaseException:
            if self._unit is not None:
                await self._unit.close()
            raise

    async def _start_processes(self) -> None:
        encoder = Job(ENCODER, (self._settings.quality.value,))
        grabber = grabber_job(self._display, self.size, self._settings.frame_rate)
        with await connect(self._display, self._sockets) as connected, contextlib.ExitStack() as ours:
            stdin = ours.enter_context(handed_over.give(connected, self._cookie))
            reading, writing = os.pipe()
            ours.callback(os.close, reading)
            ours.callback(os.close, writing)
            self._encoder = await CaptureProcess.start(
                encoder, stdin=reading, unit=self._unit, ffmpeg=self._settings.ffmpeg
            )
            try:
                self._grabber = await CaptureProcess.start(
                    grabber, stdin=stdin.fileno(), stdout=writing, unit=self._unit
                )
            except BaseException:
                await self._encoder.close()
                raise

    async def _read(self) -> bytes:
        try:
            async with asyncio.timeout(self._settings.stall_seconds):
                return await self._encoder.read()
        except TimeoutError:
            detail = f"the encoder wrote nothing for {self._settings.stall_seconds:g} s"
            self._asked = CaptureEnd(EndCause.STALLED, detail)
            self._kill()
            return b""

    def _finish(self, end: CaptureEnd) -> None:
        """Let the grabber end, once, and with it the encoder. The first cause stands."""
        if self._asked is not None:
            return
        self._asked = end
        self._grabber.signal(signal.SIGTERM)
        self._tasks.append(asyncio.create_task(self._kill_late(), name=f"capture-{self._display}-kill"))

    async def _kill_late(self) -> None:
        await asyncio.sleep(SECONDS_TO_FINISH)
        self._kill()

    def _kill(self) -> None:
        self._grabber.signal(signal.SIGKILL)
        self._encoder.signal(signal.SIGKILL)

    async def _end_on_change(self) -> None:
        size = await self._watch.changed()
        if size is not None:
            self._finish(CaptureEnd(EndCause.RESIZED, f"the screen changed from {self.size} to {size}"))
        else:
            self._finish(CaptureEnd(EndCause.DISPLAY_LOST, "the connection to the X server ended"))

    async def _resolve_end(self) -> CaptureEnd:
        """The encoder has closed its output: by itself, or because the grabber has ended."""
        encoder = await self._encoder.end_within(SECONDS_TO_FINISH)
        if encoder == _STOPPED_BY_A_SIGNAL and self._asked is not None:
            encoder = 0  # the signal that tells the whole service to end has come to it as well
        grabber = await self._grabber.end_within(0 if encoder else _SECONDS_FOR_THE_GRABBER)
        if self._asked is not None and self._asked.cause is EndCause.STALLED:
            return self._asked
        if encoder < 0:
            return CaptureEnd(EndCause.KILLED, f"the encoder was ended by {signal.Signals(-encoder).name}")
        if encoder and grabber in {0, -signal.SIGKILL}:  # else the encoder only complains of too little input
            words = await self._encoder.last_words(3)
            return CaptureEnd(EndCause.FAILED, f"ffmpeg ended with status {encoder}: {words}")
        return await self._resolve_grabber_end(grabber)

    async def _resolve_grabber_end(self, status: int) -> CaptureEnd:
        if self._asked is None:
            # The grabber may have met the change of the screen before the watch has told of it.
            await asyncio.wait([self._watching], timeout=_SECONDS_FOR_THE_WATCH)
        asked = self._asked.cause if self._asked is not None else None
        as_asked = status in {0, -signal.SIGTERM} or (asked is EndCause.RESIZED and status > 0)
        if self._asked is not None and asked is not EndCause.DISPLAY_LOST and as_asked:
            return self._asked
        if status < 0 and asked is not EndCause.DISPLAY_LOST:
            return CaptureEnd(EndCause.KILLED, f"the grabber was ended by {signal.Signals(-status).name}")
        if not await display_answers(self._display, self._cookie, self._sockets):
            return CaptureEnd(EndCause.DISPLAY_LOST, f"display :{self._display} is gone or does not answer")
        if status == grab.CUT_OFF or asked is EndCause.DISPLAY_LOST:
            return CaptureEnd(
                EndCause.EVICTED, f"display :{self._display} lives but has cut off the recorder's connection"
            )
        words = await self._grabber.last_words(1)
        return CaptureEnd(EndCause.FAILED, f"the grabber ended with status {status}: {words}")


def grabber_job(display: int, size: ScreenSize, frame_rate: int) -> Job:
    """What is asked of the grabber; ``frame_rate`` in frames a second."""
    return Job(GRABBER, tuple(map(str, (display, *size, frame_rate))))


def sockets_of(display: int) -> str:
    """Where the display's socket is: in the directory of its RDP session's slot if it has one."""
    slot = Path(xrdp.SLOTS_DIRECTORY) / str(xrdp.port_of(display)) / xrdp.X11_DIRECTORY
    return str(slot) if (slot / f"X{display}").exists() else SOCKETS
