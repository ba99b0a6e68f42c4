"""Tiers for tests, and limiters on a real Redis: each as one worker has it."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from lucid.gateway.limits.adaptive import Pressure
from lucid.gateway.limits.ledger import DATABASE, Ledger
from lucid.gateway.limits.limiter import Limiter
from lucid.gateway.limits.tiers import KeyedBy, Tier
from lucid.kit.tasks import Tasks

PATIENT_SECONDS = 5.0
"""Long enough for any test machine: where limits are to be exact, Redis is waited for."""


def tier(capacity: int, rate: float = 0.0, *, patience: float = 0.0, limited: bool = True) -> Tier:
    """A tier with a name of its own, so that no test meets the buckets of another."""
    return Tier(
        name=uuid.uuid4().hex,
        capacity=capacity,
        rate=rate,
        keyed_by=KeyedBy.USER,
        patience=patience,
        limited=limited,
    )


@asynccontextmanager
async def connection(url: str) -> AsyncIterator[Redis]:
    """A client of the database with the buckets."""
    async with Redis.from_url(url.removesuffix("/0") + f"/{DATABASE}") as redis:
        yield redis


@asynccontextmanager
async def worker(
    url: str, *, seconds: float = PATIENT_SECONDS, pressure: Pressure | None = None
) -> AsyncIterator[Limiter]:
    """A limiter with its background tasks, closed in the end as a service closes it."""
    async with connection(url) as redis:
        tasks, limiter = Tasks(), Limiter(Ledger(redis, seconds), pressure)
        await limiter.start(tasks)
        try:
            yield limiter
        finally:
            await tasks.close()
            await limiter.close()
