"""Who was given a recording: signed and handed to session-anchoring before the first byte is given."""

import time
from dataclasses import dataclass

from lucid.contracts import session_anchoring as anchoring
from lucid.evidence.life import Access, AccessKind, Hold, Violation
from lucid.kit.client import ServiceClient
from lucid.sessions import metrics
from lucid.sessions.signer import Signer, submit


@dataclass(frozen=True)
class AccessLog:
    """Access records, holds and violations. Raises LucidError, mostly Unavailable, unless it is durable."""

    client: ServiceClient
    signer: Signer

    async def record(self, session: str, who: str, what: AccessKind, stretch: tuple[int, int]) -> None:
        """Notes that a user is about to be given what was recorded in `stretch`, from and to in ms."""
        await self.signer.check()
        entry = Access(
            session=session,
            who=who,
            what=what,
            start_ms=stretch[0],
            end_ms=stretch[1],
            time_ms=time.time_ns() // 1_000_000,
        )
        await submit(self.client, self.signer.sign(entry))
        metrics.accesses_total.labels(what).inc()

    async def record_hold(self, session: str, who: str, reason: str, *, held: bool) -> None:
        """Notes that a legal hold begins or ends."""
        await self.signer.check()
        now_ms = time.time_ns() // 1_000_000
        entry = Hold(session=session, held=held, who=who, reason=reason, time_ms=now_ms)
        await submit(self.client, self.signer.sign(entry))

    async def record_violation(self, violation: Violation) -> anchoring.Anchor:
        """Notes that a session's policy was not kept. May be repeated: the same violation is noted once."""
        await self.signer.check()
        return await submit(self.client, self.signer.sign(violation))
