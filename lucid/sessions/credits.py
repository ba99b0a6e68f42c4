"""Credits: how many chunks may be on their way at once. Pure, but for the clock that is handed in.

A credit is a lease on one chunk. It comes back when the recorder reports the chunk done, or by itself when
the lease ends, so that a recorder that died cannot hold credits for ever.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

Chunk = tuple[int, int]
"""Track and index."""


@dataclass
class Credits:
    """The leases of all sessions.

    `total` bounds the chunks in flight over all sessions, `per_session` those of one; `lease_seconds` is how
    long a lease lives. Held in memory: after a restart old leases are forgotten, which admits at most
    `per_session` chunks too many for each session, for one lease time.
    """

    total: int
    per_session: int
    lease_seconds: float
    _leases: dict[str, dict[Chunk, float]] = field(default_factory=dict)

    def grant(self, session: str, wanted: Iterable[Chunk], now: float) -> list[Chunk]:
        """Leases for the first of `wanted` that there is room for; a lease that is held is renewed."""
        self._expire(now)
        leases = self._leases.setdefault(session, {})
        room = self.total - self.in_flight()
        granted = []
        for chunk in wanted:
            if chunk not in leases:
                if room <= 0 or len(leases) >= self.per_session:
                    continue
                room -= 1
            leases[chunk] = now + self.lease_seconds
            granted.append(chunk)
        if not leases:
            del self._leases[session]
        return granted

    def give_back(self, session: str, chunks: Iterable[Chunk]) -> None:
        """Ends the leases of these chunks; those without one are ignored."""
        leases = self._leases.get(session, {})
        for chunk in chunks:
            leases.pop(chunk, None)
        if not leases:
            self._leases.pop(session, None)

    def drop(self, session: str) -> None:
        """Ends all leases of a session."""
        self._leases.pop(session, None)

    def in_flight(self, session: str | None = None) -> int:
        """Chunks with a lease, of one session or of all."""
        if session is not None:
            return len(self._leases.get(session, {}))
        return sum(map(len, self._leases.values()))

    def _expire(self, now: float) -> None:
        for session, leases in list(self._leases.items()):
            live = {chunk: until for chunk, until in leases.items() if until > now}
            if live:
                self._leases[session] = live
            else:
                del self._leases[session]
