"""How much a request to a struggling upstream counts: more with each bad second, less with each good one.

The share of the limit that stays open goes down by a third with each second in which an upstream failed too
often or was too slow, and up by a twentieth with each other one (AIMD, as TCP does, RFC 5681 section 3.1);
never below a tenth. A request then counts for one divided by it: whole tokens, so that limits stay exact.
Pure rule.
"""

import math

LEAST, DOWN, UP = 0.1, 2 / 3, 0.05
PERIOD_SECONDS = 1.0
FAILED_SHARE = 0.1
"""More failures than this make a second a bad one."""
FEWEST = 5
"""Fewer answers than this say nothing."""


class _Upstream:
    __slots__ = ("begun", "count", "failed", "seconds", "share")

    def __init__(self, now: float) -> None:
        self.share = 1.0
        self.start(now)

    def start(self, now: float) -> None:
        self.begun = now
        self.count = self.failed = 0
        self.seconds = 0.0


class Pressure:
    """What is known of each upstream. Times are monotonic seconds."""

    def __init__(self, latency_seconds: float) -> None:
        self._latency = latency_seconds
        self._upstreams: dict[str, _Upstream] = {}

    def observe(self, upstream: str, seconds: float, failed: bool, now: float) -> None:
        """One answer: how long it took, and whether it was none (or a 5xx)."""
        state = self._upstreams.get(upstream)
        if state is None:
            state = self._upstreams[upstream] = _Upstream(now)
        self._judge(state, now)
        state.count += 1
        state.failed += failed
        state.seconds += seconds

    def weight(self, upstream: str, now: float) -> int:
        """Tokens that a request to `upstream` takes: 1 to 10."""
        state = self._upstreams.get(upstream)
        if state is None:
            return 1
        self._judge(state, now)
        return math.ceil(round(1 / state.share, 6))

    def _judge(self, state: _Upstream, now: float) -> None:
        periods = int((now - state.begun) / PERIOD_SECONDS)
        if not periods:
            return
        bad = state.count >= FEWEST and (
            state.failed > state.count * FAILED_SHARE or state.seconds > state.count * self._latency
        )
        if bad:
            state.share = max(LEAST, state.share * DOWN)
            periods -= 1
        state.share = min(1.0, state.share + UP * periods)
        state.start(now)
