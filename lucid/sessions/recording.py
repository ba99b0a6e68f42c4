"""One recording: its durable state, and the captures that feed its spool, one for each track."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

import msgspec

from lucid.contracts import session_recorder as contract
from lucid.contracts.session_recorder import Stop
from lucid.evidence.manifest import EndReason, GapCause
from lucid.kit.logs import log
from lucid.sessions import recording_state as rules
from lucid.sessions.capture import Capture
from lucid.sessions.capture_run import CaptureEnd, EndCause
from lucid.sessions.chunking import Chunk, Chunker
from lucid.sessions.event_chunks import EventChunker
from lucid.sessions.fmp4 import FragmentSplitter, InitSegment
from lucid.sessions.listening import Listener
from lucid.sessions.recorder_encoder import CaptureSettings, Quality
from lucid.sessions.recorder_session_spool import SessionSpool
from lucid.sessions.recording_errors import DisplayError, RecordingError, SpoolFullError
from lucid.sessions.recording_state import State

RESTARTS = 5
"""Captures of a track in a row that end without a chunk before the recording gives up."""
RESTART_SECONDS = 0.5


class QuotaReachedError(RecordingError):
    """The session has as many bytes as it may have."""


class Over(NamedTuple):
    """Why a recording cannot go on."""

    reason: EndReason
    detail: str


def now_ms() -> int:
    """Wall-clock milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Recording:
    """The state and the capture of one session. `capture_socket` as in CaptureSettings."""

    def __init__(self, state: State, spool: SessionSpool, capture_socket: str = "") -> None:
        self.state = state
        self.spool = spool
        self.changed = asyncio.Event()
        """Set when there is something to deliver."""
        self.begun = asyncio.Event()
        """Set when each track has a chunk of this life of the recorder, or the recording has ended."""
        self._kept: set[int] = set()
        """The tracks with a chunk of this life."""
        self._capture_socket = capture_socket
        self._capture: Capture | None = None
        self._listener: Listener | None = None
        self._breaking_off = asyncio.Event()
        """Set when no track is to be begun again in this run."""
        self._capturing = False
        """Whether `capture` runs: it may still add a chunk, so it alone says that the recording is over."""
        self._stopping: Stop | None = None if state.stop_ms is None else state.stop_reason
        """Why it was told to stop, once it was; the first time stands."""
        self._saving = asyncio.Lock()
        self.raw_bytes = sum(claim.plain_size for claim in spool.pending())

    @property
    def session(self) -> str:
        """The session's id."""
        return self.state.request.session

    async def change(self, rule: Callable[[State], State]) -> None:
        """Replaces the state by what `rule` makes of it, durably. Raises SpoolFullError."""
        async with self._saving:
            state = rule(self.state)
            if state is not self.state:
                await asyncio.to_thread(self.spool.save_state, msgspec.json.encode(state))
                self.state = state
        self.changed.set()

    @property
    def has_begun(self) -> bool:
        """Whether there is a chunk of each track."""
        return all(self.spool.end_of(str(track)) for track in rules.tracks(self.state))

    async def capture(self) -> None:
        """Captures until the recording is paused or over. What breaks off is begun again, the gap named."""
        self._capturing = True
        self._breaking_off.clear()
        runs = {rules.PICTURE: self._run, rules.EVENTS: self._listen}
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._see_through(track, runs[track]))
                    for track in rules.tracks(self.state)
                ]
        except ExceptionGroup as several:
            raise several.exceptions[0] from several  # whoever begins it again says why
        finally:
            self._capturing = False
        if over := next(filter(None, (task.result() for task in tasks)), None):  # the picture's word first
            await self._end(*over)
        if self._stopping:
            await self._end(self._stopping, "stopped on request")

    async def _see_through(self, track: int, run: Callable[[], Awaitable[CaptureEnd]]) -> Over | None:
        """Captures a track to its end, which is that of the others, too."""
        over = await self._capture_on(track, run)
        self._stop_capture()
        return over

    async def _capture_on(self, track: int, run: Callable[[], Awaitable[CaptureEnd]]) -> Over | None:
        failures = 0
        detail = ""
        if self._live():
            # Begun again after a failure that left no time to note it, the gap must be noted now.
            await self.interrupted("capture_restarted", track)
        while self._goes_on() and failures < RESTARTS:
            if len(self.state.gaps) >= rules.MOST_GAPS:
                return Over("failed", f"the recording was interrupted {rules.MOST_GAPS} times")
            before = self.spool.end_of(str(track))
            end = await self._ended(run)
            if isinstance(end, Over):
                return end
            if end.cause is not EndCause.STOPPED:
                await self.interrupted("capture_restarted", track)
            if not self._goes_on():
                break
            detail = end.detail
            log.warning(
                "capture ended", session_id=self.session, track=track, cause=end.cause.value, detail=detail
            )
            if end.cause is EndCause.EVICTED:
                await self.change(rules.evicted)
            failures = 0 if self.spool.end_of(str(track)) > before else failures + 1
            await self._rest(RESTART_SECONDS * failures)
        if self._goes_on():
            return Over("failed", f"the {rules.NAMES[track]} broke off {RESTARTS} times in a row: {detail}")
        return None

    async def _ended(self, run: Callable[[], Awaitable[CaptureEnd]]) -> CaptureEnd | Over:
        """One run of a track's capture: how it ended, or why there can be no other."""
        try:
            end = await run()
        except (SpoolFullError, QuotaReachedError) as error:
            return Over("quota", str(error))
        except DisplayError as error:
            return Over("display_lost", str(error))
        except RecordingError as error:
            return CaptureEnd(EndCause.FAILED, str(error))
        if end.cause is EndCause.DISPLAY_LOST and self._goes_on():
            return Over("display_lost", end.detail)
        return end

    async def interrupted(self, cause: GapCause, *tracks: int) -> None:
        """Notes that in these tracks, or in all, a gap begins where the last durable chunk ended."""
        for track in tracks or rules.tracks(self.state):
            ended = self.spool.end_of(str(track))
            if not ended and self.spool.next_seq:  # the other track began, this one should have
                ended = self.state.started_ms
            await self.change(partial(rules.interrupted, last_end_ms=ended, cause=cause, track=track))

    async def pause(self) -> None:
        """Stops capturing for a while."""
        await self.change(lambda state: msgspec.structs.replace(state, phase="paused"))
        self._stop_capture()

    async def resume(self) -> None:
        """Ready to capture again, unless it was stopped meanwhile; the caller starts `capture` anew."""
        await self.interrupted("paused")
        await self.change(rules.resumable)

    async def stop(self, reason: Stop = "stopped") -> None:
        """Ends the recording; while `capture` runs, by it, once it has taken in the last fragment.

        Returns when it is sure to end, even if this recorder is killed. Raises SpoolFullError; it ends, too.
        """
        self._stopping = self._stopping or reason
        try:
            await self.change(partial(rules.stopping, now_ms=now_ms(), reason=reason))
        finally:
            if self._capturing:
                self._stop_capture()
            else:
                await self._end(self._stopping, "")

    def _live(self) -> bool:
        return self.state.phase == "recording"

    def _goes_on(self) -> bool:
        return self._live() and not self._stopping and not self._breaking_off.is_set()

    async def _rest(self, seconds: float) -> None:
        """Waits, unless there is nothing to wait for any more."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._breaking_off.wait()

    def _stop_capture(self) -> None:
        self._breaking_off.set()
        for capture in (self._capture, self._listener):
            if capture is not None:
                capture.stop()

    async def _run(self) -> CaptureEnd:
        """One run of the encoder, from its first byte to its last."""
        request = self.state.request
        settings = CaptureSettings(
            frame_rate=request.frame_rate,
            quality=Quality(request.quality),
            capture_socket=self._capture_socket,
        )
        track = str(rules.PICTURE)
        chunker = Chunker(track, not_before_ms=self.spool.end_of(track))
        splitter = FragmentSplitter()
        async with Capture(*self._display(), settings) as capture:
            self._capture = capture
            if not self._goes_on():
                capture.stop()
            try:
                async for data in capture:
                    for item in splitter.feed(data):
                        if isinstance(item, InitSegment):
                            await self._keep(chunker.begin_run(item, now_ms() - capture.age_ms))
                        else:
                            await self._keep(chunker.add(item))
            finally:
                self._capture = None
            await self._keep(chunker.finish())
            return capture.end

    async def _listen(self) -> CaptureEnd:
        """One run of the listener, from its first line to its last."""
        track = str(rules.EVENTS)
        chunker = EventChunker(track, not_before_ms=self.spool.end_of(track))
        async with Listener(*self._display(), self.state.request.events, self._capture_socket) as listener:
            self._listener = listener
            if not self._goes_on():
                listener.stop()
            try:
                begun = False
                async for line in listener:
                    if not begun:
                        chunker.begin_run(now_ms() - listener.age_ms)
                        begun = True
                    await self._keep(chunker.add(line))
            finally:
                self._listener = None
            await self._keep(chunker.finish())
            return listener.end

    def _display(self) -> tuple[int, bytes]:
        """The display's number and cookie."""
        request = self.state.request
        return int(request.display[1:].partition(".")[0]), bytes.fromhex(request.cookie)

    async def _keep(self, chunks: list[Chunk]) -> None:
        for chunk in chunks:
            if self.raw_bytes + chunk.size > self.state.request.max_bytes:
                raise QuotaReachedError(f"the session may have {self.state.request.max_bytes} bytes")
            track = int(chunk.track)
            await self.change(partial(rules.resumed, start_ms=chunk.start_ms, track=track))
            await asyncio.to_thread(
                self.spool.append_chunk, chunk.track, chunk.parts, chunk.start_ms, chunk.end_ms
            )
            self.raw_bytes += chunk.size
            self._kept.add(track)
            if self._kept.issuperset(rules.tracks(self.state)):
                self.begun.set()
            self.changed.set()

    async def _end(self, reason: EndReason, detail: str) -> None:
        """The recording is over; no chunk may be added after that. The first reason stands."""
        if self.state.phase not in rules.UNDER_WAY:
            return
        log.info("recording ended", session_id=self.session, reason=reason, detail=detail)
        told_ms = self.state.stop_ms if reason == self._stopping else None
        end_ms = max(told_ms or now_ms(), self.spool.last_end_ms)
        await self.change(lambda state: rules.ended(state, reason, end_ms, self.spool.last_end_ms))
        if reason == "failed" or not self.spool.last_end_ms:
            await self.change(lambda state: msgspec.structs.replace(state, error=detail))
        self.begun.set()


def view(recording: Recording, *, stored: int) -> contract.Recording:
    """The recording as its callers see it."""
    state, spool = recording.state, recording.spool
    return contract.Recording(
        session=recording.session,
        state=state.phase,
        started_ms=state.started_ms,
        ended_ms=state.ended_ms,
        chunks=spool.next_seq,
        stored=stored,
        anchored=rules.anchored_count(state),
        raw_bytes=recording.raw_bytes,
        spooled_bytes=sum(claim.plain_size for claim in spool.pending()),
        end_reason=state.end_reason,
        evictions=state.evictions,
        manifest=state.manifest.entry if state.manifest else None,
        error=state.error,
    )
