"""One run of the encoder on one X display, supervised from start to end.

A recording that stops while the desktop lives on is a violation, so a run never just ends: it ends with a
cause that tells a stop on request from a screen that changed its size, a display that went away, and a
recorder that was thrown out or killed.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from lucid.sessions.recorder_display import DisplayWatch, ScreenSize, display_answers
from lucid.sessions.recorder_encoder import CaptureSettings, check_screen, ffmpeg_command, ffmpeg_environment
from lucid.sessions.recording_errors import CaptureStartError, RecordingError
from lucid.sessions.xauthority import write_cookie

READ_SIZE = 256 * 1024
STDERR_TAIL = 4096
SECONDS_TO_FINISH = 10.0
_SECONDS_FOR_THE_WATCH = 0.5

_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


class EndCause(StrEnum):
    """Why a run ended. All but ``stopped`` and ``resized`` leave a gap unless the desktop has ended too."""

    STOPPED = "stopped"  # stop() was called, and the encoder wrote its last fragment
    RESIZED = "resized"  # the screen has another size now: start another run
    DISPLAY_LOST = "display_lost"  # the X server is gone, or no longer answers
    EVICTED = "evicted"  # the X server lives but has cut the recorder's connection
    STALLED = "stalled"  # the encoder was silent for too long
    KILLED = "killed"  # a signal ended the encoder
    FAILED = "failed"  # the encoder gave up by itself


@dataclass(frozen=True, slots=True)
class CaptureEnd:
    """``detail`` is one line for people: the signal, or the encoder's own last words."""

    cause: EndCause
    detail: str


class Capture:
    """Use as a context manager, and iterate over it for the MP4 stream's bytes::

        async with Capture(7, cookie, settings, workdir) as capture:
            async for data in capture:
                ...
        capture.end  # why there are no more bytes

    Reading slowly slows the encoder down: at most ``READ_SIZE`` bytes wait here, the rest in the encoder.
    ``workdir`` is a private directory for the cookie's file. ``started_ms`` is the wall-clock time at which
    the encoder was started.
    """

    size: ScreenSize
    pid: int
    started_ms: int

    def __init__(self, display: int, cookie: bytes | None, settings: CaptureSettings, workdir: Path) -> None:
        self._display = display
        self._cookie = cookie
        self._settings = settings
        self._xauthority = workdir / f"xauthority-{display}" if cookie is not None else None
        self._asked: CaptureEnd | None = None
        self._end: CaptureEnd | None = None
        self._stderr = bytearray()

    async def __aenter__(self) -> Self:
        """Raises DisplayError, CaptureStartError (the encoder cannot be run) or XauthorityError."""
        self._watch = await DisplayWatch.open(self._display, self._cookie)
        try:
            self.size = self._watch.size
            check_screen(self.size)
            await self._start()
        except BaseException:
            await self._watch.close()
            self._remove_cookie()
            raise
        self._listening = asyncio.create_task(self._keep_stderr(), name=f"capture-{self._display}-stderr")
        self._watching = asyncio.create_task(self._end_on_change(), name=f"capture-{self._display}-watch")
        self._tasks = [self._listening, self._watching]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.returncode is None:
            self._signal(signal.SIGKILL)
            await self._process.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._watch.close()
        self._remove_cookie()

    @property
    def end(self) -> CaptureEnd:
        """Why the run ended. Raises RecordingError while there may be more bytes to read."""
        if self._end is None:
            raise RecordingError(f"the capture of display :{self._display} has not been read to its end")
        return self._end

    def stop(self) -> None:
        """Ask the encoder to finish. Keep iterating: its last fragment is still to come.

        An encoder that has not finished within 10 s is killed.
        """
        if self._process.returncode is None:  # else it has ended for another cause
            self._finish(CaptureEnd(EndCause.STOPPED, "stopped on request"))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self._read():
            yield data
        self._end = await self._resolve_end()

    async def _start(self) -> None:
        if self._xauthority is not None and self._cookie is not None:
            await asyncio.to_thread(write_cookie, self._xauthority, self._display, self._cookie)
        self.started_ms = time.time_ns() // 1_000_000
        try:
            self._process = await asyncio.create_subprocess_exec(
                *ffmpeg_command(self._display, self.size, self._settings),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=READ_SIZE // 2,
                env=ffmpeg_environment(self._xauthority),
                start_new_session=True,  # a Ctrl-C at the terminal is for us to handle, not for ffmpeg
                preexec_fn=_die_with_parent(os.getpid()),
            )
        except OSError as error:
            raise CaptureStartError(f"ffmpeg={self._settings.ffmpeg!r} cannot be run: {error}") from error
        self.pid = self._process.pid

    async def _read(self) -> bytes:
        assert self._process.stdout is not None  # noqa: S101 - tells mypy what PIPE means
        try:
            async with asyncio.timeout(self._settings.stall_seconds):
                return await self._process.stdout.read(READ_SIZE)
        except TimeoutError:
            detail = f"the encoder wrote nothing for {self._settings.stall_seconds:g} s"
            self._asked = CaptureEnd(EndCause.STALLED, detail)
            self._signal(signal.SIGKILL)
            return b""

    def _finish(self, end: CaptureEnd) -> None:
        """Let ffmpeg end as on Ctrl-C, once: more signals would cut it off. The first cause stands."""
        if self._asked is not None:
            return
        self._asked = end
        if self._process.returncode is None:
            self._signal(signal.SIGINT)
            self._tasks.append(asyncio.create_task(self._kill_late(), name=f"capture-{self._display}-kill"))

    async def _kill_late(self) -> None:
        await asyncio.sleep(SECONDS_TO_FINISH)
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def _end_on_change(self) -> None:
        size = await self._watch.changed()
        if size is not None:
            self._finish(CaptureEnd(EndCause.RESIZED, f"the screen changed from {self.size} to {size}"))
        else:
            self._finish(CaptureEnd(EndCause.DISPLAY_LOST, "the connection to the X server ended"))

    async def _keep_stderr(self) -> None:
        assert self._process.stderr is not None  # noqa: S101 - tells mypy what PIPE means
        while data := await self._process.stderr.read(STDERR_TAIL):
            self._stderr += data
            del self._stderr[:-STDERR_TAIL]

    async def _resolve_end(self) -> CaptureEnd:
        code = await self._process.wait()
        if self._asked is None:
            # The encoder may have met the change of the screen before the watch has told of it.
            await asyncio.wait([self._watching], timeout=_SECONDS_FOR_THE_WATCH)
        asked = self._asked
        orderly = code in {0, 255}  # 255 is ffmpeg's status after SIGINT
        if asked is not None and asked.cause is EndCause.STALLED:
            return asked
        if asked is not None and asked.cause is not EndCause.DISPLAY_LOST and orderly:
            return asked
        if code < 0:
            return CaptureEnd(EndCause.KILLED, f"the encoder was ended by {signal.Signals(-code).name}")
        if not await display_answers(self._display, self._cookie):
            return CaptureEnd(EndCause.DISPLAY_LOST, f"display :{self._display} is gone or does not answer")
        if orderly:
            return CaptureEnd(
                EndCause.EVICTED, f"display :{self._display} lives but has cut off the recorder's connection"
            )
        await self._listening
        words = self._stderr.decode(errors="replace").strip().splitlines()
        return CaptureEnd(EndCause.FAILED, f"ffmpeg ended with status {code}: {' | '.join(words[-3:])}")

    def _remove_cookie(self) -> None:
        if self._xauthority is not None:
            self._xauthority.unlink(missing_ok=True)


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
