"""Looks after sessions: moves their state on by what the recorder and the chain say, whoever restarts.

The truth about the end of a session is its manifest in a final block, not the recorder's memory.
"""

import asyncio
import time
from dataclasses import dataclass, field

from lucid.contracts import session_anchoring as anchoring
from lucid.contracts import session_pipeline as pipeline
from lucid.contracts import session_recorder as recorder
from lucid.contracts.types import SessionPath
from lucid.evidence import dsse, statements
from lucid.evidence.manifest import Manifest
from lucid.kit.client import ServiceClient
from lucid.kit.errors import Conflict, LucidError, NotFound, Unavailable
from lucid.kit.logs import log
from lucid.kit.mongo import Document
from lucid.sessions import metrics
from lucid.sessions.abreast import abreast
from lucid.sessions.api_store import SessionStore
from lucid.sessions.closing import Closer

POLL_SECONDS = 1.0


@dataclass
class Follower:
    """`lost_seconds`: how long a recorder may be out of reach before its session is closed without it.

    Counted by the clock that nobody sets, and anew after a restart: in doubt the recorder gets longer.
    """

    store: SessionStore
    client: ServiceClient
    closer: Closer
    lost_seconds: float
    _missing: dict[str, float] = field(default_factory=dict, init=False)
    """By session, since when its recorder is out of reach."""

    async def run(self) -> None:
        """Follows all active sessions, for ever."""
        while True:
            sessions = await self.store.active()
            for ended in self._missing.keys() - {session["_id"] for session in sessions}:
                del self._missing[ended]
            for state in ("recording", "paused"):
                count = sum(session["state"] == state for session in sessions)
                metrics.sessions_active.labels(state).set(count)
            await abreast(sessions, self._look_after)
            await asyncio.sleep(POLL_SECONDS)

    async def _look_after(self, session: Document) -> None:
        try:
            await self._follow(session)
        except Conflict as error:
            log.info("session moved meanwhile", session_id=session["_id"], error=error.message)
        except Unavailable as error:
            log.info("session not followed", session_id=session["_id"], error=error.message)

    async def _follow(self, session: Document) -> None:
        identity = SessionPath(session["_id"])
        try:
            recording = await self.client.call(recorder.GET, identity, seconds=3.0, host=session.get("host"))
        except (NotFound, Unavailable) as error:
            return await self._without_recorder(session, error)
        self._missing.pop(session["_id"], None)
        await self.store.grow(session["_id"], chunks=recording.chunks, raw_bytes=recording.raw_bytes)
        state = session["state"]
        if recording.state == "failed":
            await self._stop_pipeline(session, "error")
            await self.store.move(session["_id"], "failed", error=recording.error)
        elif state == "starting":
            await self.store.move(session["_id"], "recording", started_ms=recording.started_ms)
        elif recording.state in {"finishing", "finished"}:
            await self._towards_the_end(session, recording)
        return None

    async def _towards_the_end(self, session: Document, recording: recorder.Recording) -> None:
        name, state = session["_id"], session["state"]
        if state in {"recording", "paused"}:
            await self.store.move(name, "stopped")
            state = "stopped"
        if state == "stopped":
            ended = {"ended_ms": recording.ended_ms, "end_reason": recording.end_reason}
            await self.store.move(name, "processing", **ended)
        await self._complete(session)

    async def _complete(self, session: Document) -> bool:
        """Completes a session whose manifest is in a final block."""
        anchors = await self.client.call(anchoring.OF_SESSION, SessionPath(session["_id"]))
        final = [a for a in anchors.anchors if a.kind == "manifest" and a.state == "final"]
        if not final:
            return False
        manifest = statements.read(dsse.parse(final[0].envelope.encode()), Manifest)
        if session["state"] in {"starting", "recording", "paused"}:
            if session["state"] == "starting":
                await self.store.move(session["_id"], "recording", started_ms=manifest.start_ms)
            await self.store.move(session["_id"], "stopped")
        current = await self.store.get(session["_id"])
        if current["state"] == "stopped":
            await self.store.move(session["_id"], "processing")
        await self._stop_pipeline(session, "stopped")
        await self.store.move(
            session["_id"],
            "completed",
            chunks=manifest.count,
            end_reason=manifest.end_reason,
            started_ms=manifest.start_ms,
            ended_ms=manifest.end_ms,
        )
        metrics.session_seconds.observe((manifest.end_ms - manifest.start_ms) / 1000)
        return True

    async def _without_recorder(self, session: Document, error: LucidError) -> None:
        """The recorder is out of reach, or does not know the session: wait, then close without it."""
        if await self._complete(session):
            return
        now = time.monotonic()
        if now - self._missing.setdefault(session["_id"], now) < self.lost_seconds:
            return
        log.warning("recorder lost", session_id=session["_id"], error=error.message)
        if session["state"] == "starting":
            await self.store.move(session["_id"], "failed", error="the start was interrupted; start another")
        elif not await self.closer.close(session):
            await self._stop_pipeline(session, "error")
            await self.store.move(session["_id"], "failed", error="the recorder was lost before any chunk")

    async def _stop_pipeline(self, session: Document, state: pipeline.PipelineState) -> None:
        try:
            await self.client.call(pipeline.SET_STATE, SessionPath(session["_id"]), pipeline.SetState(state))
        except Conflict:
            log.info("pipeline had ended already", session_id=session["_id"])
