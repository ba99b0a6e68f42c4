"""The two counts that every request from outside goes through: of its address, and of its tier."""

from aiohttp import web

from lucid.gateway.limits.limiter import LIMITER, TIERS, VERDICT
from lucid.gateway.limits.tiers import Tier, address_key, key_of
from lucid.gateway.limits.verdict import refusal


async def enter(request: web.Request, client: str) -> None:
    """First of all, before anything is done for it: counts what comes from one client. Raises Limited
    3001."""
    app = request.app
    tier = app[TIERS].address
    verdict = request[VERDICT] = await app[LIMITER].admit(tier, address_key(client))
    if not verdict.admitted:
        raise refusal(tier, verdict)


async def count(
    request: web.Request, tier: Tier, client: str, user: str | None = None, upstream: str | None = None
) -> None:
    """Counts a request in its own tier, once it is known who asks. Raises Limited 3001.

    A request that is refused here has not counted for its address either.
    """
    limiter = request.app[LIMITER]
    verdict = request[VERDICT] = await limiter.admit(tier, key_of(tier, client, user), upstream=upstream)
    if not verdict.admitted:
        limiter.refund(request.app[TIERS].address, address_key(client))
        raise refusal(tier, verdict)
