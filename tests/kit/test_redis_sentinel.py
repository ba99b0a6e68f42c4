"""Redis on hosts: over mutual TLS, each service with its own keys, another master after a failure."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiohttp import web
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, ConnectionError, NoPermissionError  # noqa: A004 - its name

from lucid.dev import servers
from lucid.dev.processes import Processes
from lucid.kit import redis
from lucid.kit.app import Handlers, build
from lucid.kit.health import CHECKS
from lucid.kit.redis import REDIS, RedisError, RedisSettings
from lucid.kit.settings import Secret, SettingsError
from tests.kit import parrot
from tests.kit.redis_site import ADDRESS, SERVICE, Host, RedisSite, wait

pytestmark = pytest.mark.quiet

KEY = f"lucid:{SERVICE}:key"
FAILOVER_SECONDS = 20


@pytest.fixture(scope="module")
def site(processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisSite]:
    """One site for all tests; they leave it whole."""
    made = RedisSite(processes, tmp_path_factory.mktemp("redis-site"))
    yield made
    made.kill()


@asynccontextmanager
async def service(found: RedisSettings) -> AsyncIterator[web.Application]:
    """An application with a client under REDIS."""
    app = build(parrot.SERVICE, Handlers(), resources=[redis.context(SERVICE, found)])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        yield app
    finally:
        await runner.cleanup()


async def eventually_set(client: Redis, value: str) -> float:
    """Sets KEY as soon as a master takes it; returns the longest time that one attempt took, seconds."""
    until, longest = time.monotonic() + FAILOVER_SECONDS, 0.0
    while True:
        begin = time.monotonic()
        try:
            await client.set(KEY, value)
        except RedisError:
            longest = max(longest, time.monotonic() - begin)
            assert time.monotonic() < until, f"no master within {FAILOVER_SECONDS} s"
            await asyncio.sleep(0.1)
        else:
            return longest


def direct(host: Host) -> str:
    """The address of one server."""
    return f"rediss://{ADDRESS}:{host.port}/0"


class TestAccess:
    async def test_a_service_reaches_the_master_through_sentinel_or_directly(self, site: RedisSite) -> None:
        async with service(site.settings()) as app:
            await eventually_set(app[REDIS], "value")
            assert await app[REDIS].get(KEY) == b"value"
            report = await app[CHECKS].run(app)
            assert report.dependencies["redis"].status == "up"
        async with service(site.settings(redis_url=direct(site.hosts[0]))) as app:
            assert await app[REDIS].get(KEY) == b"value"

    async def test_a_service_has_its_own_keys_and_no_power_over_the_server(self, site: RedisSite) -> None:
        async with service(site.settings()) as app:
            await eventually_set(app[REDIS], "value")
            client = app[REDIS]
            for attempt in (
                client.get("lucid:auth-service:key"),
                client.set("key", "value"),
                client.keys(),
                client.flushall(),
                client.config_get(),
                client.acl_list(),
            ):
                with pytest.raises(NoPermissionError):
                    await attempt

    async def test_a_wrong_password_is_refused(self, site: RedisSite) -> None:
        found = site.settings(redis_url=direct(site.hosts[0]), redis_password=Secret(b"wrong"))
        async with service(found) as app:
            with pytest.raises(AuthenticationError):
                await app[REDIS].get(KEY)

    @pytest.mark.parametrize("port", ["port", "sentinel_port"])
    def test_nobody_without_a_certificate_gets_as_far_as_a_password(self, site: RedisSite, port: str) -> None:
        address = (ADDRESS, getattr(site.hosts[0], port))
        context = ssl.create_default_context(cafile=str(site.tls / "ca.crt"))
        with socket.create_connection(address, timeout=5) as plain:
            plain.sendall(b"PING\r\n")
            with suppress(ConnectionResetError):
                assert plain.recv(100) == b""
        with (
            socket.create_connection(address, timeout=5) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as anonymous,
            pytest.raises(ssl.SSLError, match="certificate required"),
        ):
            anonymous.recv(100)

    async def test_a_program_with_another_name_is_not_taken_for_redis(
        self, site: RedisSite, processes: Processes, tmp_path: Path
    ) -> None:
        """Its certificate is of the same authority and for the same address."""
        port = servers.free_port()
        options = [f"--tls-{kind}-file {site.tls / name}" for kind, name in FILES.items()]
        command = f"redis-server --port 0 --tls-port {port} --bind {ADDRESS} --save '' {' '.join(options)}"
        impostor = processes.start("impostor", ["sh", "-c", f"exec {command}"], tmp_path / "log")
        wait(10, "listening", lambda: "Ready to accept" in (tmp_path / "log").read_text())
        async with service(site.settings(redis_url=f"rediss://{ADDRESS}:{port}/0")) as app:
            with pytest.raises(ConnectionError, match=r"redis\.lucid\.internal"):
                await app[REDIS].get(KEY)
        impostor.kill()


FILES = {"cert": "mongodb.crt", "key": "mongodb.key", "ca-cert": "ca.crt"}


class TestFailover:
    async def test_another_server_becomes_master_and_stays_it_when_the_first_returns(
        self, site: RedisSite
    ) -> None:
        async with service(site.settings()) as app:
            await eventually_set(app[REDIS], "before")
            wait(FAILOVER_SECONDS, "acquainted", site.acquainted)
            first = await self._master(site, app)
            assert await app[REDIS].wait(2, 5000) == 2
            assert first.redis is not None
            first.redis.kill()
            longest = await eventually_set(app[REDIS], "after")
            assert longest < 5
            second = await self._master(site, app)
            assert second is not first
            # The settings of the role are read last at each start, and must not make it master again.
            site.start(first)
            wait(
                3 * FAILOVER_SECONDS,  # Sentinel looks at who has returned every ten seconds only
                "following",
                lambda: f"replicaof {ADDRESS} {second.port}" in site.known(first),
            )
            first.redis.kill()
            site.start(first)
            assert await app[REDIS].get(KEY) == b"after"
            assert await self._master(site, app) is second
        said = [(host.root / "redis-sentinel.log").read_text() for host in site.hosts]
        assert [text.count(" +switch-master ") for text in said] == [1, 1, 1]

    async def _master(self, site: RedisSite, app: web.Application) -> Host:
        pool = app[REDIS].connection_pool
        _, port = await pool.get_master_address()  # type: ignore[attr-defined]  # Sentinel's pool has it
        return next(host for host in site.hosts if host.port == port)


class TestSettings:
    @pytest.mark.parametrize(
        "url",
        [
            "sentinel://data1:26379,data2:26379",
            "sentinel://data1:26379//0",
            "sentinel://data1/lucid/0",
            "rediss://data1:6379",
            "rediss://data1:6379,data2:6379/0",
            "rediss://user:password@data1:6379/0",
            "http://data1:6379/0",
        ],
    )
    def test_an_address_of_no_known_form_is_refused_with_those_that_are(
        self, site: RedisSite, url: str
    ) -> None:
        with pytest.raises(SettingsError, match=r"REDIS_URL: .* none of the forms redis://.* sentinel://"):
            redis.context(SERVICE, site.settings(redis_url=url))

    def test_a_missing_password_is_named(self, site: RedisSite) -> None:
        with pytest.raises(SettingsError, match=r"REDIS_PASSWORD: is missing \(a credential"):
            redis.context(SERVICE, site.settings(redis_password=None))
