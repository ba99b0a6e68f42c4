"""What is said of one request, and in which headers (draft-ietf-httpapi-ratelimit-headers-03). Pure rules."""

import math

import msgspec
from aiohttp import hdrs
from multidict import istr

from lucid.gateway.limits.tiers import Tier
from lucid.kit.errors import Code, Limited

LIMIT, REMAINING, RESET = map(istr, ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"))
UNKNOWN_SECONDS = 60
"""When to ask again where nothing comes back by itself."""


class Verdict(msgspec.Struct, frozen=True):
    """Whether a request of `cost` is admitted, and the `tokens` that are left in its bucket.

    Each request counts for `weight` tokens. Without a tier nothing is limited. What people are told is worked
    out when they are told, for most verdicts never.
    """

    tier: Tier | None
    admitted: bool
    tokens: float = 0.0
    cost: int = 1
    weight: int = 1

    @property
    def limit(self) -> int:
        """Requests that a full bucket allows at once; 0: nothing is limited."""
        return self.tier.capacity // self.weight if self.tier else 0

    @property
    def remaining(self) -> int:
        """Requests that were left after this one when Redis was last asked; others may have come since."""
        return int(self.tokens) // self.weight if self.tokens > 0 else 0

    @property
    def reset(self) -> int:
        """Seconds until the bucket is full again."""
        return seconds_until_full(self.tier, self.tokens) if self.tier else 0

    @property
    def retry_after(self) -> int:
        """Seconds until the same request would be admitted; 0 if it was."""
        if self.admitted or not self.tier:
            return 0
        return max(1, _seconds(self.tier.seconds_until(self.cost, self.tokens)))


UNLIMITED = Verdict(None, admitted=True)


def seconds_until_full(tier: Tier, tokens: float) -> int:
    """Whole seconds until a bucket of `tokens` is full."""
    return _seconds(tier.seconds_until(tier.capacity, tokens))


def headers(verdict: Verdict) -> dict[str, str]:
    """The headers that tell a caller how it stands."""
    if not verdict.limit:
        return {}
    found: dict[str, str] = {
        LIMIT: str(verdict.limit),
        REMAINING: str(verdict.remaining),
        RESET: str(verdict.reset),
    }
    if not verdict.admitted:
        found[hdrs.RETRY_AFTER] = str(verdict.retry_after)
    return found


def refusal(tier: Tier, verdict: Verdict) -> Limited:
    """The error that refuses a request: 3001."""
    return Limited(
        f"too many requests for the tier `{tier.name}`; try again in {verdict.retry_after} s",
        code=Code.RATE,
        tier=tier.name,
        limit=verdict.limit,
        retry_after=verdict.retry_after,
    )


def too_fast(tier: Tier, tokens: float, amount: int) -> Limited:
    """The error that ends a transfer whose bucket has `tokens` and would have to give `amount`: 3004."""
    retry_after = max(1, _seconds(tier.seconds_until(tier.floor + amount, tokens)))
    return Limited(
        f"too many bytes for the tier `{tier.name}`; try again in {retry_after} s",
        code=Code.BANDWIDTH,
        tier=tier.name,
        limit=tier.capacity,
        retry_after=retry_after,
    )


def _seconds(exact: float) -> int:
    return math.ceil(exact) if exact < math.inf else UNKNOWN_SECONDS
