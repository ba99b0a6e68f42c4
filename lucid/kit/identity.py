"""How a service tells who is who: tokens, and the logins that were ended while theirs are out."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from aiohttp import web

from lucid.kit import revocations
from lucid.kit.client import ServiceClient
from lucid.kit.errors import LucidError
from lucid.kit.revocations import RevocationPage, Revocations, RevocationsQuery
from lucid.kit.routes import NOTHING, Nothing, Route
from lucid.kit.tokens import Jwks, Verifier

START_SECONDS = 2.0
"""How long a start waits for auth-service; without it the first requests with tokens are answered 503."""


def verifying(
    client: ServiceClient,
    keys: Route[Nothing, Nothing, Jwks],
    ended: Route[RevocationsQuery, Nothing, RevocationPage],
) -> tuple[Verifier, Callable[[web.Application], AsyncIterator[None]]]:
    """A verifier that asks through `client`, and the cleanup context that keeps its list fresh.

    `keys` and `ended` are auth-service's operations for the keys of tokens and the ends of logins.
    """

    async def fetch_keys() -> Jwks:
        return await client.call(keys, NOTHING)

    async def fetch_ended(number: int) -> RevocationPage:
        return await client.call(ended, RevocationsQuery(number))

    feed = Revocations(fetch_ended)
    following = asynccontextmanager(revocations.context(feed))

    async def fresh(app: web.Application) -> AsyncIterator[None]:
        with suppress(LucidError, TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                await feed.refresh()
        async with following(app):
            yield

    return Verifier(fetch_keys, feed.check), fresh
