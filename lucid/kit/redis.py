"""Redis: for what may be lost. A service goes on without it and says so in its health."""

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import web
from prometheus_client import Gauge, Histogram
from redis.asyncio import Redis
from redis.exceptions import RedisError

from lucid.kit import settings
from lucid.kit.health import CHECKS

POOL_SIZE = 50
REDIS = web.AppKey("redis", Redis)

connections = Gauge(
    "lucid_redis_connections_active", "Connections in the Redis pool.", multiprocess_mode="livesum"
)
operation_seconds = Histogram(
    "lucid_redis_operation_duration_seconds", "Time of a Redis command, seconds.", ["command", "outcome"]
)

__all__ = ["REDIS", "RedisError", "context"]


class _Measured(Redis):
    """A client whose commands are measured."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Sends one command."""
        begin = time.perf_counter()
        outcome = "failed"
        try:
            answer = await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # as shipped
            outcome = "ok"
            return answer
        finally:
            seconds = time.perf_counter() - begin
            operation_seconds.labels(str(args[0]).lower(), outcome).observe(seconds)
            connections.set(sum(count for count, _ in self.connection_pool.get_connection_count()))


def context(url: str) -> Callable[[web.Application], AsyncIterator[None]]:
    """A cleanup context that puts a client under REDIS. Redis being down degrades the service, no more.

    Raises SettingsError for an empty `url`.
    """
    if not url:
        raise settings.missing(settings.Common, "redis_url")

    async def client(app: web.Application) -> AsyncIterator[None]:
        redis = _Measured.from_url(
            url, max_connections=POOL_SIZE, socket_timeout=1.0, socket_connect_timeout=1.0
        )
        app[REDIS] = redis

        async def ping() -> None:
            await redis.ping()

        app[CHECKS].add("redis", ping, needed=False)
        yield
        await redis.aclose()
        connections.set(0)

    return client
