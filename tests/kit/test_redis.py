"""Redis: may go away, and is missed but not needed."""

import time
from pathlib import Path

import pytest
from aiohttp import web
from prometheus_client import REGISTRY

from lucid.dev import servers
from lucid.dev.processes import Processes
from lucid.kit import redis
from lucid.kit.app import Handlers, build
from lucid.kit.health import CHECKS
from lucid.kit.redis import REDIS, RedisError, RedisSettings
from lucid.kit.settings import SettingsError
from tests.kit import parrot

pytestmark = pytest.mark.quiet


def plain(url: str) -> RedisSettings:
    """Settings of a service on one machine: no certificate is looked at, no password needed."""
    return RedisSettings(redis_url=url, tls_directory="/nonexistent", state_directory="/nonexistent")


async def test_redis_that_goes_away_degrades_the_service_at_once(
    processes: Processes, tmp_path: Path
) -> None:
    port = servers.free_port()
    server = servers.start_redis(processes, tmp_path / "data", tmp_path / "log", port)
    app = build(
        parrot.SERVICE, Handlers(), resources=[redis.context(parrot.SERVICE, plain(servers.redis_url(port)))]
    )
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        done = measured("lucid_redis_operation_duration_seconds_count", command="get", outcome="ok")
        await app[REDIS].set("key", "value")
        assert await app[REDIS].get("key") == b"value"
        assert measured("lucid_redis_operation_duration_seconds_count", command="get", outcome="ok") > done
        assert measured("lucid_redis_connections_active") >= 1
        healthy = await app[CHECKS].run(app)
        assert (healthy.status, healthy.dependencies["redis"].needed) == ("healthy", False)
        server.kill()
        begin = time.monotonic()
        with pytest.raises(RedisError):
            await app[REDIS].get("key")
        assert time.monotonic() - begin < 2
        report = await app[CHECKS].run(app)
        assert (report.status, report.dependencies["redis"].status) == ("degraded", "down")
    finally:
        await runner.cleanup()


def measured(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_an_address_that_is_missing_names_the_setting() -> None:
    with pytest.raises(SettingsError, match=r"REDIS_URL: is missing \(Redis, for example redis://"):
        redis.context(parrot.SERVICE, plain(""))
