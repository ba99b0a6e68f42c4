"""How much may be repeated: a share of what is asked, so that retries cannot multiply an outage. Pure.

A token bucket (as in Finagle's RetryBudget): each request puts in `share`, each retry takes out one. `floor`
tokens come back by themselves each second, so that a quiet service has retries too.
"""

_SECONDS = 10.0
"""How much can be saved: the floor of this many seconds, and a burst of requests' shares."""


class RetryBudget:
    """The budget of one service in one process; `now` is monotonic, in seconds."""

    def __init__(self, share: float = 0.2, floor: float = 1.0, most: float = 100.0) -> None:
        self._share = share
        self._floor = floor
        self._most = most
        self._tokens = floor * _SECONDS
        self._at = 0.0

    def asked(self) -> None:
        """A request, not a retry, was made."""
        self._tokens = min(self._most, self._tokens + self._share)

    def take(self, now: float) -> bool:
        """Whether one more retry may be made now; it is taken out if so."""
        back = max(0.0, now - self._at) * self._floor if self._at else 0.0
        self._at = now
        self._tokens = max(self._tokens, min(self._tokens + back, self._floor * _SECONDS))
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
