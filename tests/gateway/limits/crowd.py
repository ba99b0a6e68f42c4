"""One worker of several, a process of its own: `python -m tests.gateway.limits.crowd`.

Reads a line of JSON (see `Crowd`) when everybody is to begin, sends its requests through its own limiter, and
prints how many were admitted.
"""

import asyncio
import sys

import msgspec
import uvloop

from lucid.gateway.limits.tiers import KeyedBy, Tier
from tests.gateway.limits.sites import worker


class Crowd(msgspec.Struct):
    """The clients of one worker."""

    redis_url: str
    tier: str
    capacity: int
    clients: int
    requests: int
    """Of all its clients together."""
    again: bool = False
    """Whether a refused one is sent again until it is admitted: what others have leased comes back."""


async def admitted(crowd: Crowd) -> int:
    """Sends all requests, each client one after the other; returns how many were admitted."""
    kind = Tier(name=crowd.tier, capacity=crowd.capacity, rate=0.0, keyed_by=KeyedBy.USER)
    left, count = crowd.requests, 0

    async with worker(crowd.redis_url) as limiter:

        async def client() -> None:
            nonlocal left, count
            while left:
                left -= 1
                while True:
                    verdict = await limiter.admit(kind, "key")
                    if verdict.admitted or not crowd.again:
                        break
                    await asyncio.sleep(0.02)
                count += verdict.admitted
                await asyncio.sleep(0)  # as between two requests of one connection

        await asyncio.gather(*(client() for _ in range(crowd.clients)))
    return count


if __name__ == "__main__":
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    found = msgspec.json.decode(sys.stdin.readline(), type=Crowd)
    sys.stdout.write(f"admitted {uvloop.run(admitted(found))}\n")
