"""How a service at the edge tells who is who: tokens, and the logins that were ended while theirs are out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiohttp import web

from lucid.contracts import auth_service
from lucid.kit import revocations
from lucid.kit.app import Resource
from lucid.kit.client import ServiceClient
from lucid.kit.errors import LucidError
from lucid.kit.revocations import RevocationPage, Revocations
from lucid.kit.routes import NOTHING
from lucid.kit.tokens import Jwks, Verifier

START_SECONDS = 2.0
"""How long a start waits for auth-service; without it the first requests with tokens are answered 503."""


def verifying(client: ServiceClient) -> tuple[Verifier, Resource]:
    """A verifier that asks auth-service through `client`, and the resource that keeps its list fresh."""

    async def keys() -> Jwks:
        return await client.call(auth_service.JWKS, NOTHING)

    async def ended(after: int) -> RevocationPage:
        return await client.call(auth_service.REVOCATIONS, auth_service.RevocationsQuery(after=after))

    feed = Revocations(ended)
    following = asynccontextmanager(revocations.context(feed))

    async def fresh(app: web.Application) -> AsyncIterator[None]:
        with suppress(LucidError, TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                await feed.refresh()
        async with following(app):
            yield

    return Verifier(keys, feed.check), fresh
