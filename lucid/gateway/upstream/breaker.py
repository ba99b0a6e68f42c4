"""When a service is given a rest: a circuit breaker (M. Nygard, Release It!). Pure; the caller has the clock.

closed ── `failures` in a row ──► open ── `seconds` later ──► half-open ── `successes` ──► closed
                                   ▲                             │
                                   └────────── a failure ────────┘
"""

from dataclasses import dataclass
from typing import Literal

State = Literal["closed", "open", "half-open"]


@dataclass(frozen=True, slots=True)
class BreakerRule:
    """`failures` in a row open it, after `seconds` it is tried again, `successes` in a row close it."""

    failures: int = 5
    seconds: float = 60.0
    successes: int = 2


class Breaker:
    """The breaker of one service in one process; `now` is monotonic, in seconds."""

    def __init__(self, rule: BreakerRule) -> None:
        self._rule = rule
        self._failures = 0
        self._successes = 0
        self._opened_at: float | None = None
        self._trying = False

    def state(self, now: float) -> State:
        """What a request would meet now."""
        if self._opened_at is None:
            return "closed"
        return "open" if now < self._opened_at + self._rule.seconds else "half-open"

    def admit(self, now: float) -> float:
        """0 lets a request through, of which `over` must tell; else the seconds to wait.

        Half-open, it lets one through at a time.
        """
        if self._opened_at is None:
            return 0.0
        left = self._opened_at + self._rule.seconds - now
        if left > 0:
            return left
        if self._trying:
            return 1.0
        self._trying = True
        return 0.0

    def over(self) -> None:
        """The wait for an answer is over, one way or another: the next may be tried."""
        self._trying = False

    def succeeded(self, now: float) -> None:
        """An answer came, and came to its end."""
        self._failures = 0
        if self.state(now) == "half-open":
            self._successes += 1
            if self._successes >= self._rule.successes:
                self._opened_at = None

    def failed(self, now: float) -> bool:
        """None came, or not to its end, by the service's fault. Returns whether that opened it."""
        state = self.state(now)
        self._failures += 1
        # Requests let through before it opened may fail long after: they do not put off its next trial.
        if state == "open" or (state == "closed" and self._failures < self._rule.failures):
            return False
        self._opened_at = now
        self._successes = 0
        return True
