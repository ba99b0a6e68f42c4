"""Bytes of a slot's TCP connections, those included that have ended. Pure rules, no I/O.

A connection's own counters run from its first byte, so one that is still there counts in full, whenever it is
seen first; one that ended counts with what the kernel said of it when it was gone. Approximate is:

- a connection whose end the kernel could not tell (it drops what nobody fetches): it counts as it was last
  seen, and not at all if it came and went between two looks;
- what ended before this process began to look;
- bytes that were sent and never acknowledged: they are not counted.

The kernel tells of an end some milliseconds after it, so for one look a connection may count as last seen.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from lucid.rdp.inet_diag import Connection

REMEMBERED = 256
"""Connections of a slot that vanished untold, kept apart in case their end is told late."""

_NOTHING = (0, 0)


@dataclass
class Traffic:
    """The connections of one slot. `foreign`: cookies of those that were another slot's, to be left out."""

    foreign: set[int] = field(default_factory=set)
    _open: dict[int, tuple[int, int]] = field(default_factory=dict)
    _vanished: dict[int, tuple[int, int]] = field(default_factory=dict)
    _ended: tuple[int, int] = _NOTHING

    def see(self, open_now: Iterable[Connection], closed: Iterable[Connection]) -> None:
        """Takes in one look: all connections that there are, and those whose end was told since the last."""
        found = {each.cookie: (each.received, each.sent) for each in open_now}
        for each in closed:
            found.pop(each.cookie, None)
            self._open.pop(each.cookie, None)
            self._vanished.pop(each.cookie, None)
            if each.cookie not in self.foreign:
                self._end((each.received, each.sent))
        self._vanished |= {cookie: last for cookie, last in self._open.items() if cookie not in found}
        self._open = {cookie: last for cookie, last in found.items() if cookie not in self.foreign}
        for cookie in self._open:
            self._vanished.pop(cookie, None)
        while len(self._vanished) > REMEMBERED:
            self._end(self._vanished.pop(next(iter(self._vanished))))

    def _end(self, last: tuple[int, int]) -> None:
        self._ended = (self._ended[0] + last[0], self._ended[1] + last[1])

    @property
    def cookies(self) -> set[int]:
        """The connections that there are, or that may still be told of."""
        return {*self._open, *self._vanished, *self.foreign}

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._open)

    @property
    def received(self) -> int:
        """Bytes from clients."""
        return self._sum(0)

    @property
    def sent(self) -> int:
        """Bytes to clients, as far as they were acknowledged."""
        return self._sum(1)

    def _sum(self, which: int) -> int:
        known = (*self._open.values(), *self._vanished.values(), self._ended)
        return sum(last[which] for last in known)
