"""Redis: for what may be lost. A service goes on without it and says so in its health."""

from collections.abc import AsyncIterator, Callable

from aiohttp import web
from redis.asyncio import Redis
from redis.exceptions import RedisError

from lucid.kit import settings
from lucid.kit.health import CHECKS

POOL_SIZE = 50
REDIS = web.AppKey("redis", Redis)

__all__ = ["REDIS", "RedisError", "context"]


def context(url: str) -> Callable[[web.Application], AsyncIterator[None]]:
    """A cleanup context that puts a client under REDIS. Redis being down degrades the service, no more.

    Raises SettingsError for an empty `url`.
    """
    if not url:
        raise settings.missing(settings.Common, "redis_url")

    async def client(app: web.Application) -> AsyncIterator[None]:
        redis: Redis = Redis.from_url(
            url, max_connections=POOL_SIZE, socket_timeout=1.0, socket_connect_timeout=1.0
        )
        app[REDIS] = redis

        async def ping() -> None:
            await redis.ping()

        app[CHECKS].add("redis", ping, needed=False)
        yield
        await redis.aclose()

    return client
