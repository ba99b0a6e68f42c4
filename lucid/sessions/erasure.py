"""Erases recordings whose time is over or that somebody asked to erase.

Decided → key destroyed → files and a failed recorder's spool removed → tombstone in the log → deleted. What
is done is on record before the next step begins, and each step may be done again: after a crash anywhere, in
any service, it goes on.
"""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field

from lucid.contracts import chunk_processor as processor
from lucid.contracts import session_anchoring as anchoring
from lucid.contracts import session_recorder as recorder
from lucid.contracts import session_storage as storage
from lucid.contracts.types import SessionPath
from lucid.evidence.life import Erasure
from lucid.kit.client import ServiceClient
from lucid.kit.errors import Conflict, LucidError
from lucid.kit.logs import log
from lucid.kit.mongo import Document
from lucid.sessions import metrics, retention
from lucid.sessions.abreast import abreast
from lucid.sessions.closing import Closer
from lucid.sessions.life_store import LifeStore
from lucid.sessions.retention import DAY_MS
from lucid.sessions.signer import Signer, submit

POLL_SECONDS = 1.0
STEP_SECONDS = 60.0
JUMP_SECONDS = 300.0
"""More than time synchronisation corrects in one go."""


@dataclass
class Eraser:
    """`interval_seconds`: how often expired sessions are looked for.

    `backup_days`: how long after the key's destruction a backup may still hold it.
    """

    store: LifeStore
    client: ServiceClient
    signer: Signer
    interval_seconds: float
    backup_days: int
    _started: tuple[float, float] = field(default_factory=lambda: (time.time(), time.monotonic()))
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """Tells that an erasure was decided."""
        self._wake.set()

    async def run(self) -> None:
        """Erases what there is to erase, for ever."""
        next_look = 0.0
        while True:
            self._wake.clear()
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + self.interval_seconds
                await self.expire()
            await abreast(await self.store.erasing(), self._go_on)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()

    async def _go_on(self, session: Document) -> None:
        try:
            await self.advance(session)
        except LucidError as error:
            log.warning("erasure waits", session_id=session["_id"], error=error.message)

    async def expire(self) -> None:
        """Decides on the erasure of every session whose time is over.

        A wall clock that jumped ahead would end every session's time at once, so then nothing is decided.
        """
        wall, steady = self._started
        jumped = (time.time() - wall) - (time.monotonic() - steady)
        if abs(jumped) > JUMP_SECONDS:
            log.error(
                "retention waits: the clock jumped; check it, then restart this service", seconds=jumped
            )
            return
        now_ms = time.time_ns() // 1_000_000
        for session in await self.store.expired(now_ms):
            with contextlib.suppress(Conflict):  # held a moment ago
                await self.store.begin_erasure(session, "retention", now_ms)
                log.info("retention is over", session_id=session)

    async def advance(self, session: Document) -> None:
        """Takes an erasure as far as it will go. Raises LucidError where a service is out of reach."""
        name, identity = session["_id"], SessionPath(session["_id"])
        erased_ms = session["erasure"].get("erased_ms")
        if erased_ms is None:
            erased_ms = (await self.client.call(processor.ERASE_KEY, identity)).erased_ms
            await self.client.call(storage.ERASE, identity, seconds=STEP_SECONDS)
            if retention.may_be_spooled(session):
                host = session.get("host")
                await self.client.call(recorder.ERASE, identity, seconds=STEP_SECONDS, host=host)
            await self.store.set_destroyed(name, erased_ms)
        if await self._buried(session, erased_ms):
            await self.store.finish_erasure(name, erased_ms)
            metrics.sessions_erased_total.labels(session["erasure"]["reason"]).inc()
            log.info("recording erased", session_id=name, reason=session["erasure"]["reason"])

    async def _buried(self, session: Document, erased_ms: int) -> bool:
        """Whether the tombstone is in a final block, or there is nothing in the log to put one on."""
        identity = SessionPath(session["_id"])
        known = (await self.client.call(anchoring.OF_SESSION, identity)).anchors
        manifests: set[str] = {anchor.state for anchor in known if anchor.kind == "manifest"}
        if "final" not in manifests:
            return not await self._closing(session, manifests)
        envelope = session["erasure"].get("envelope", "").encode()
        if not envelope:
            await self.signer.check()
            envelope = await self.store.keep_tombstone(session["_id"], self._tombstone(session, erased_ms))
        return (await submit(self.client, envelope)).state == "final"

    async def _closing(self, session: Document, manifests: set[str]) -> bool:
        """Whether a manifest is on its way, on which the tombstone can follow.

        A failed session has none: the closing key signs one over what was stored. Where that is nothing, or
        less than was anchored, the session stays open in the log, which never said that it was complete.
        """
        if manifests:
            return "pending" in manifests
        return await Closer(self.client, self.signer).close(session)

    def _tombstone(self, session: Document, erased_ms: int) -> bytes:
        return self.signer.sign(
            Erasure(
                session=session["_id"],
                reason=session["erasure"]["reason"],
                time_ms=erased_ms,
                backups_until_ms=erased_ms + self.backup_days * DAY_MS,
            )
        )
