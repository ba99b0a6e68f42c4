"""The shared buckets, as the limiter and admins reach them: questions in batches, inspection, reset."""

import asyncio
import heapq
from collections.abc import Sequence

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError

from lucid.gateway.limits.lease import Answer, Ask
from lucid.gateway.limits.script import SCRIPT
from lucid.gateway.limits.tiers import Tier

DATABASE = 1
"""Number of the Redis database with the buckets: nothing else is in it."""
PREFIX = "lucid:limits"
SCANNED = 1000


class Stock(msgspec.Struct, frozen=True):
    """What is in one bucket, leases not counted; a debt is negative."""

    key: str
    tokens: float


class Ledger:
    """The buckets in Redis. Every method raises RedisError, OSError or TimeoutError for one that is away."""

    def __init__(self, redis: Redis, seconds: float) -> None:
        self._redis = redis
        self._seconds = seconds
        self._sha = ""
        # A question that is sent again would take or give back twice.
        redis.set_retry(Retry(NoBackoff(), 0))

    async def prepare(self) -> None:
        """Loads the script. Waits as long as the client does: meant for when no request waits."""
        self._sha = await self._redis.script_load(SCRIPT)

    async def exchange(self, asks: Sequence[Ask]) -> list[Answer]:
        """Asks all in one round trip, answers in their order; waits for it at most as long as settings say.

        It looks twice, each time after half of that: a process that itself was held up in the first half
        finds the answer that had come meanwhile.
        """
        asking = asyncio.ensure_future(self._exchange(asks))
        try:
            for _ in range(2):
                await asyncio.wait({asking}, timeout=self._seconds / 2)
            if not asking.done():
                raise TimeoutError
            return asking.result()
        finally:
            asking.cancel()

    async def _exchange(self, asks: Sequence[Ask]) -> list[Answer]:
        names = [_name(ask.tier.name, ask.key) for ask in asks]
        figures = [figure for ask in asks for figure in _figures(ask)]
        try:
            found = await self._redis.evalsha(self._sha, len(names), *names, *figures)
        except NoScriptError:  # another master, or a restart: nothing was done
            await self.prepare()
            found = await self._redis.evalsha(self._sha, len(names), *names, *figures)
        second, *rest = found
        return [
            Answer(ask.need, granted, thousandths / 1000, second)
            for ask, granted, thousandths in zip(asks, rest[::2], rest[1::2], strict=True)
        ]

    async def keys(self, tier: Tier, after: str, limit: int) -> list[str]:
        """Keys of a tier behind `after`, in order, at most `limit`."""
        start = _name(tier.name, "")
        names = [name async for name in self._redis.scan_iter(match=f"{start}*", count=SCANNED)]
        keys = {name.decode().removeprefix(start) for name in names}
        return heapq.nsmallest(limit, (key for key in keys if key > after))

    async def look(self, tier: Tier, keys: Sequence[str]) -> list[Stock]:
        """Those of the buckets with these keys that are there, as they are at this moment."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.time()
            for key in keys:
                pipeline.hmget(_name(tier.name, key), "tokens", "at")
            (seconds, microseconds), *found = await pipeline.execute()
        now = seconds * 1_000_000 + microseconds
        return [
            Stock(key, min(tier.capacity, float(tokens) + max(0, now - int(at)) * tier.rate / 1_000_000))
            for key, (tokens, at) in zip(keys, found, strict=True)
            if tokens is not None
        ]

    async def reset(self, tier: Tier, key: str) -> None:
        """Makes a bucket full again."""
        await self._redis.delete(_name(tier.name, key))


def _figures(ask: Ask) -> tuple[str, ...]:
    """What the script is told about one bucket, in its order."""
    tier = ask.tier
    taken = (ask.need, ask.more, ask.back, ask.settled, ask.second)
    return tuple(map(str, (tier.capacity, tier.rate, tier.floor, *taken)))


def _name(tier: str, key: str) -> str:
    return f"{PREFIX}:{tier}:{key}"
