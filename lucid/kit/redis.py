"""Redis: for what may be lost. A service goes on without it and says so in its health.

Three forms of address, all in the setting `redis_url`:

- `redis://host:port/db`: plain, without a password; for one machine.
- `rediss://host:port/db`: TLS with the service's certificate, and its password.
- `sentinel://host:port,host:port,.../master/db`: as before, and Sentinel is asked with each new connection
  which of the servers is master (redis.io/docs/reference/sentinel-clients).
"""

import re
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from aiohttp import web
from prometheus_client import Gauge, Histogram
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import SSLConnection
from redis.asyncio.sentinel import Sentinel, SentinelManagedConnection
from redis.exceptions import RedisError

from lucid.kit import settings, tls
from lucid.kit.health import CHECKS

POOL_SIZE = 50
REDIS = web.AppKey("redis", Redis)
TIMEOUTS: dict[str, Any] = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0}
SENTINEL_TIMEOUTS: dict[str, Any] = {"socket_timeout": 0.5, "socket_connect_timeout": 0.5}

_SERVER = tls.internal_name("redis")
_HOST = r"(\[[0-9a-fA-F:.]+\]|[\w.-]+):(\d{1,5})"
_DIRECT = re.compile(rf"rediss://{_HOST}/(?P<db>\d+)")
_MANAGED = re.compile(rf"sentinel://{_HOST}(?:,{_HOST})*/(?P<master>[\w.-]+)/(?P<db>\d+)")

connections = Gauge(
    "lucid_redis_connections_active", "Connections in the Redis pool.", multiprocess_mode="livesum"
)
operation_seconds = Histogram(
    "lucid_redis_operation_duration_seconds", "Time of a Redis command, seconds.", ["command", "outcome"]
)

__all__ = ["REDIS", "RedisError", "RedisSettings", "context"]


class RedisSettings(settings.Common, frozen=True, kw_only=True):
    """What a service that uses Redis has besides the common settings."""

    redis_password: Annotated[
        settings.Secret | None,
        msgspec.Meta(description="a credential: the service's password, for addresses with TLS"),
    ] = None


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


class _Mutual(SSLConnection):
    """Shows the service's certificate, and believes a server only whose own says that it is Redis.

    The library compares the server's certificate with the address, which all programs of a host share.
    """

    def __init__(self, *, context: ssl.SSLContext, **options: Any) -> None:
        super().__init__(**options)
        self._context = context

    def _connection_arguments(self) -> dict[str, Any]:
        return {"host": self.host, "port": self.port, "ssl": self._context, "server_hostname": _SERVER}


class _MutualMaster(SentinelManagedConnection, _Mutual):
    """The same, to whom Sentinel says is master."""


@dataclass(frozen=True, slots=True)
class _Site:
    """What an address with TLS names: one server, or Sentinels that know where `master` is."""

    hosts: tuple[tuple[str, int], ...]
    master: str | None
    db: int


def context(
    service: str, found: RedisSettings, *, db: int | None = None
) -> Callable[[web.Application], AsyncIterator[None]]:
    """A cleanup context that puts a client under REDIS. Redis being down degrades the service, no more.

    `db` is used instead of the address's own. Raises SettingsError for an address that is missing or has none
    of the three forms, and for a missing password; TlsError for a certificate that cannot be used.
    """
    if not found.redis_url:
        raise settings.missing(settings.Common, "redis_url")
    site = None if found.redis_url.startswith("redis://") else _site(found.redis_url)
    login = _login(service, found) if site else {}

    async def client(app: web.Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as opened:
            if site:
                made = await _of_site(site, login, opened)
            else:
                made = _Measured.from_url(found.redis_url, max_connections=POOL_SIZE, **TIMEOUTS)
            if db is not None:
                made.get_connection_kwargs()["db"] = db  # type: ignore[no-untyped-call]  # as shipped
            redis = app[REDIS] = await opened.enter_async_context(made)

            async def ping() -> None:
                await redis.ping()

            app[CHECKS].add("redis", ping, needed=False)
            yield
        connections.set(0)

    return client


def _site(url: str) -> _Site:
    match = _DIRECT.fullmatch(url) or _MANAGED.fullmatch(url)
    if match is None:
        raise settings.SettingsError(
            f"cannot start, settings at fault:\n  REDIS_URL: {url!r} has none of the forms redis://host:port/db,"
            " rediss://host:port/db, sentinel://host:port,host:port,host:port/master/db"
        )
    hosts = tuple((host.strip("[]"), int(port)) for host, port in re.findall(_HOST, url))
    return _Site(hosts, match.groupdict().get("master"), int(match["db"]))


def _login(service: str, found: RedisSettings) -> dict[str, Any]:
    if found.redis_password is None:
        raise settings.missing(RedisSettings, "redis_password")
    cert, key, ca = (
        Path(found.tls_directory) / file for file in (f"{service}.crt", f"{service}.key", "ca.crt")
    )
    return {
        "context": tls.client_context(cert, key, ca),
        "username": service,
        "password": found.redis_password.text(),
    }


async def _of_site(site: _Site, login: dict[str, Any], opened: AsyncExitStack) -> Redis:
    """A client of the one server, or of whichever is master; what else it opens is left on the stack."""
    if site.master is None:
        return _Measured.from_pool(_pool(site.hosts[0], db=site.db, **TIMEOUTS, **login))
    manager = Sentinel([])  # type: ignore[no-untyped-call]  # as shipped
    # Made here, because the class has no way to give its own clients another kind of connection.
    manager.sentinels = [
        await opened.enter_async_context(Redis.from_pool(_pool(host, **SENTINEL_TIMEOUTS, **login)))
        for host in site.hosts
    ]
    options: dict[str, Any] = {"connection_class": _MutualMaster, "max_connections": POOL_SIZE, "db": site.db}
    master: Redis = manager.master_for(site.master, redis_class=_Measured, **options, **TIMEOUTS, **login)
    return master


def _pool(address: tuple[str, int], **options: Any) -> ConnectionPool:
    host, port = address
    return ConnectionPool(_Mutual, POOL_SIZE, host=host, port=port, **options)
