"""The counts that what comes from outside goes through: of its address, of its tier, and of its bytes."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from lucid.gateway.limits.limiter import LIMITER, TIERS, VERDICT
from lucid.gateway.limits.tiers import Tier, address_key, key_of
from lucid.gateway.limits.verdict import refusal
from lucid.kit.tokens import Claims


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


async def received(
    request: web.Request, pieces: AsyncIterator[bytes], client: str, claims: Claims | None
) -> AsyncIterator[bytes]:
    """A body as it comes, its bytes counted for the login that sends it, or for the address without one.

    Who sends too much is read more slowly; who still does so, over several connections, is sent Limited 3004.
    """
    limiter, tier = request.app[LIMITER], request.app[TIERS].upload
    key = key_of(tier, client, session=claims.sid if claims else address_key(client))
    async for piece in pieces:
        pause = await limiter.spend(tier, key, len(piece))
        yield piece
        if pause:
            await asyncio.sleep(pause)
