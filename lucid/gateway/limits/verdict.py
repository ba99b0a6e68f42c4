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


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """Whether a request is admitted, and how its bucket stands. `limit` 0: nothing is limited."""

    admitted: bool
    limit: int
    """Requests that a full bucket allows at once."""
    remaining: int
    """Requests that were left after this one when Redis was last asked; others may have come since."""
    reset: int
    """Seconds until the bucket is full again."""
    retry_after: int
    """Seconds until the same request would be admitted; 0 if it was."""


UNLIMITED = Verdict(admitted=True, limit=0, remaining=0, reset=0, retry_after=0)


def judged(tier: Tier, *, admitted: bool, tokens: float, cost: int = 1, weight: int = 1) -> Verdict:
    """The verdict on a request of `cost` that leaves `tokens`, where each request counts for `weight`."""
    return Verdict(
        admitted,
        tier.capacity // weight,
        int(tokens) // weight if tokens > 0 else 0,
        seconds_until_full(tier, tokens),
        0 if admitted else max(1, _seconds(tier.seconds_until(cost, tokens))),
    )


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
