"""One recording: its durable state, and the capture that feeds its spool."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from lucid.contracts import session_recorder as contract
from lucid.evidence.manifest import EndReason, GapCause
from lucid.kit.logs import log
from lucid.sessions import recording_state as rules
from lucid.sessions.capture import Capture, CaptureEnd, EndCause
from lucid.sessions.chunking import Chunk, Chunker
from lucid.sessions.fmp4 import FragmentSplitter, InitSegment
from lucid.sessions.recorder_encoder import CaptureSettings, Quality
from lucid.sessions.recorder_session_spool import SessionSpool
from lucid.sessions.recording_errors import DisplayError, RecordingError, SpoolFullError
from lucid.sessions.recording_state import State, Stop

RESTARTS = 5
"""Captures in a row that end without a chunk before the recording gives up."""
RESTART_SECONDS = 0.5


class QuotaReachedError(RecordingError):
    """The session has as many bytes as it may have."""


def now_ms() -> int:
    """Wall-clock milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Recording:
    """The state and the capture of one session. `workdir` is private to the session, for its cookie."""

    def __init__(self, state: State, spool: SessionSpool, workdir: Path) -> None:
        self.state = state
        self.spool = spool
        self.changed = asyncio.Event()
        """Set when there is something to deliver."""
        self.begun = asyncio.Event()
        """Set when a chunk of this life of the recorder is durable, or the recording has ended."""
        self._workdir = workdir
        self._capture: Capture | None = None
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

    async def capture(self) -> None:
        """Captures until the recording is paused or over. What breaks off is begun again, the gap named."""
        self._capturing = True
        try:
            await self._capture_on()
        finally:
            self._capturing = False
        if self._stopping:
            await self._end(self._stopping, "stopped on request")

    async def _capture_on(self) -> None:
        failures = 0
        if self._live():
            # Begun again after a failure that left no time to note it, the gap must be noted now.
            await self.interrupted("capture_restarted")
        while self._live() and not self._stopping and failures < RESTARTS:
            before = self.spool.last_end_ms
            try:
                end = await self._run()
            except (SpoolFullError, QuotaReachedError) as error:
                return await self._end("quota", str(error))
            except DisplayError as error:
                return await self._end("display_lost", str(error))
            except RecordingError as error:
                end = CaptureEnd(EndCause.FAILED, str(error))
            if not self._live() or self._stopping:
                return None
            if end.cause is EndCause.DISPLAY_LOST:
                return await self._end("display_lost", end.detail)
            log.warning("capture ended", session_id=self.session, cause=end.cause.value, detail=end.detail)
            if end.cause is EndCause.EVICTED:
                await self.change(rules.evicted)
            await self.interrupted("capture_restarted")
            failures = 0 if self.spool.last_end_ms > before else failures + 1
            await asyncio.sleep(RESTART_SECONDS * failures)
        if self._live() and not self._stopping:
            await self._end("failed", f"the capture broke off {RESTARTS} times in a row without a picture")
        return None

    async def interrupted(self, cause: GapCause) -> None:
        """Notes that a gap begins where the last durable chunk ended."""
        await self.change(lambda state: rules.interrupted(state, self.spool.last_end_ms, cause))
        if len(self.state.gaps) >= rules.MOST_GAPS:
            await self._end("failed", f"the recording was interrupted {rules.MOST_GAPS} times")

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

    def _stop_capture(self) -> None:
        if self._capture is not None:
            self._capture.stop()

    async def _run(self) -> CaptureEnd:
        """One run of the encoder, from its first byte to its last."""
        request = self.state.request
        settings = CaptureSettings(frame_rate=request.frame_rate, quality=Quality(request.quality))
        display = int(request.display[1:].partition(".")[0])
        chunker = Chunker(str(rules.PICTURE), not_before_ms=self.spool.last_end_ms)
        splitter = FragmentSplitter()
        async with Capture(display, bytes.fromhex(request.cookie), settings, self._workdir) as capture:
            self._capture = capture
            if self._stopping or not self._live():
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

    async def _keep(self, chunks: list[Chunk]) -> None:
        for chunk in chunks:
            if self.raw_bytes + chunk.size > self.state.request.max_bytes:
                raise QuotaReachedError(f"the session may have {self.state.request.max_bytes} bytes")
            await self.change(partial(rules.resumed, start_ms=chunk.start_ms))
            await asyncio.to_thread(
                self.spool.append_chunk, chunk.track, chunk.parts, chunk.start_ms, chunk.end_ms
            )
            self.raw_bytes += chunk.size
            self.begun.set()
            self.changed.set()

    async def _end(self, reason: EndReason, detail: str) -> None:
        """The recording is over; no chunk may be added after that. The first reason stands."""
        if self.state.phase not in rules.UNDER_WAY:
            return
        log.info("recording ended", session_id=self.session, reason=reason, detail=detail)
        told_ms = self.state.stop_ms if reason == self._stopping else None
        end_ms = max(told_ms or now_ms(), self.spool.last_end_ms)
        await self.change(lambda state: rules.ended(state, reason, end_ms))
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
