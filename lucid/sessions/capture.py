"""One run of the grabber and the encoder on one X display, supervised from start to end."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator

from lucid.sessions import grab, handed_over
from lucid.sessions.capture_jobs import ENCODER, GRABBER, Job
from lucid.sessions.capture_process import CaptureProcess
from lucid.sessions.capture_run import CaptureEnd, CaptureRun, EndCause, failed, killed
from lucid.sessions.recorder_display import DisplayWatch, connect
from lucid.sessions.recorder_encoder import CaptureSettings, check_screen
from lucid.sessions.x11_wire import ScreenSize

_SECONDS_FOR_THE_WATCH = 0.5
_SECONDS_FOR_THE_GRABBER = 2.0
_STOPPED_BY_A_SIGNAL = 255
"""ffmpeg's status after SIGINT or SIGTERM, on which it writes its last fragment."""


class Capture(CaptureRun):
    """Use as a context manager, and iterate over it for the MP4 stream's bytes::

        async with Capture(7, cookie, settings) as capture:
            async for data in capture:
                ...
        capture.end  # why there are no more bytes

    Reading slowly slows the encoder down, and that the grabber: at most 256 KiB wait here.
    ``pid`` is the encoder's, ``grabber_pid`` the grabber's.
    """

    NAME = "capture"
    SECONDS_TO_FINISH = 10.0

    size: ScreenSize

    def __init__(self, display: int, cookie: bytes | None, settings: CaptureSettings) -> None:
        super().__init__(display, cookie, settings.capture_socket, settings.stall_seconds)
        self._settings = settings

    @property
    def grabber_pid(self) -> int:
        return self._client.pid

    def stop(self) -> None:
        """Ask for the end. Keep iterating: the last fragment, with the last picture, is still to come.

        What has not finished within 10 s is killed.
        """
        if self._client.running and self._writer.running:  # else it has ended for another cause
            self._finish(CaptureEnd(EndCause.STOPPED, "stopped on request"))

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._output()

    async def _start(self, opened: contextlib.AsyncExitStack) -> None:
        self._watch = await DisplayWatch.open(self._display, self._cookie, self._sockets)
        opened.push_async_callback(self._watch.close)
        self.size = self._watch.size
        check_screen(self.size)
        unit = await self._unit(opened)
        encoder = Job(ENCODER, (self._settings.quality.value,))
        grabber = grabber_job(self._display, self.size, self._settings.frame_rate)
        with await connect(self._display, self._sockets) as connected, contextlib.ExitStack() as ours:
            stdin = ours.enter_context(handed_over.give(connected, self._cookie))
            reading, writing = os.pipe()
            ours.callback(os.close, reading)
            ours.callback(os.close, writing)
            self._writer = self._run(
                opened,
                await CaptureProcess.start(encoder, stdin=reading, unit=unit, ffmpeg=self._settings.ffmpeg),
            )
            self._client = self._run(
                opened, await CaptureProcess.start(grabber, stdin=stdin.fileno(), stdout=writing, unit=unit)
            )
        self._watching = self._beside(self._end_on_change(), "watch")

    async def _end_on_change(self) -> None:
        size = await self._watch.changed()
        if size is not None:
            self._finish(CaptureEnd(EndCause.RESIZED, f"the screen changed from {self.size} to {size}"))
        else:
            self._finish(CaptureEnd(EndCause.DISPLAY_LOST, "the connection to the X server ended"))

    async def _resolve_end(self) -> CaptureEnd:
        """The encoder has closed its output: by itself, or because the grabber has ended."""
        encoder = await self._writer.end_within(self.SECONDS_TO_FINISH)
        if encoder == _STOPPED_BY_A_SIGNAL and self._asked is not None:
            encoder = 0  # the signal that tells the whole service to end has come to it as well
        grabber = await self._client.end_within(0 if encoder else _SECONDS_FOR_THE_GRABBER)
        if self._asked is not None and self._broken_off:
            return self._asked
        if encoder < 0:
            return killed(self._writer, encoder)
        if encoder and grabber in {0, -signal.SIGKILL}:  # else the encoder only complains of too little input
            return await failed(self._writer, encoder, "ffmpeg", 3)
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
            return killed(self._client, status)
        if lost := await self._lost():
            return lost
        if status == grab.CUT_OFF or asked is EndCause.DISPLAY_LOST:
            return self._evicted("recorder")
        return await failed(self._client, status, f"the {GRABBER}", 1)


def grabber_job(display: int, size: ScreenSize, frame_rate: int) -> Job:
    """What is asked of the grabber; ``frame_rate`` in frames a second."""
    return Job(GRABBER, tuple(map(str, (display, *size, frame_rate))))
