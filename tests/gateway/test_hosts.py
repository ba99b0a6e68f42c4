"""A service behind the gateway that runs on several hosts: it is there as long as one of them is."""

import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import msgspec
import pytest

from lucid.auth import service as auth
from lucid.auth.tokens import Signer
from lucid.contracts import api_gateway as contract
from lucid.dev.servers import free_port
from lucid.gateway import service as gateway
from lucid.gateway.condition import UPSTREAMS
from lucid.gateway.upstream.balancing import EjectionRule
from lucid.kit import hosts
from lucid.kit.settings import SettingsError
from tests.auth.live import TOKEN_KEY, Deployment, person

SERVICE = "auth-service"
KEYS = f"{contract.PREFIX}/auth/.well-known/jwks.json"
LOGIN = f"{contract.PREFIX}/auth/login"
REFUSED = "400 LUCID_ERR_1002"
"""What auth-service makes of a login without anything in it."""


@pytest.fixture
def addresses(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Two hosts of auth-service; the gateway knows both."""
    ports = {"one": deployment.ports[SERVICE], "two": free_port()}
    urls = {name: f"https://127.0.0.1:{port}" for name, port in ports.items()}
    monkeypatch.setenv(hosts.variable(SERVICE), hosts.written(urls))
    return ports


@pytest.fixture
async def running(
    deployment: Deployment, addresses: dict[str, int]
) -> AsyncIterator[dict[str, AsyncExitStack]]:
    """auth-service on both hosts: what ends each."""
    made = {}
    for name, port in addresses.items():
        made[name] = AsyncExitStack()
        deployment.ports[SERVICE] = port
        await made[name].enter_async_context(deployment.serve(await auth.create()))
    yield made
    for each in made.values():
        await each.aclose()


async def test_a_host_that_is_down_is_not_noticed_and_soon_not_asked(
    deployment: Deployment, addresses: dict[str, int], running: dict[str, AsyncExitStack]
) -> None:
    app = await gateway.create()
    replicas = app[UPSTREAMS][SERVICE].replicas
    async with deployment.serve(app), person(deployment) as someone:
        assert {replica.port for replica in replicas} == set(addresses.values())
        assert [await someone.status_and_code("GET", KEYS) for _ in range(4)] == ["200"] * 4
        await running["one"].aclose()
        for _ in range(6):
            assert await someone.status_and_code("GET", KEYS) == "200"
            # What did not reach a host was not done there: it may be sent to the other, whatever it is.
            assert await someone.status_and_code("POST", LOGIN, json={}) == REFUSED
        (down,) = (each for each in replicas if each.port == addresses["one"])
        (up,) = (each for each in replicas if each.port == addresses["two"])
        assert down.out_until > 0
        assert up.out_until == 0
        await running["two"].aclose()
        assert await someone.status_and_code("GET", KEYS) == "503 LUCID_ERR_5008"


async def test_health_tells_of_each_host_to_admins_and_names_none_to_others(
    deployment: Deployment, addresses: dict[str, int], running: dict[str, AsyncExitStack]
) -> None:
    app = await gateway.create()
    async with deployment.serve(app), person(deployment) as someone:
        await running["two"].aclose()
        admin = Signer(TOKEN_KEY).mint(str(uuid.uuid4()), "admin", int(time.time()), str(uuid.uuid4()))
        detailed = contract.PREFIX + contract.DETAILED_HEALTH.path
        answers = []
        for _ in range(EjectionRule().failures):
            async with someone.ask("GET", detailed, admin) as answer:
                answers.append(msgspec.json.decode(await answer.read(), type=contract.DetailedHealth))
        found = answers[-1]
        upstream = found.upstreams[SERVICE]
        assert {name: each.status for name, each in upstream.hosts.items()} == {"one": "up", "two": "down"}
        assert upstream.check is not None
        assert upstream.check.status == "up"
        assert upstream.breaker == "closed"
        out = {each.address: each.out_seconds > 0 for each in upstream.replicas}
        assert out == {f"127.0.0.1:{addresses['one']}": False, f"127.0.0.1:{addresses['two']}": True}
        assert not [name for name in found.dependencies if "@" in name]
        assert found.upstreams["session-api"].hosts == {}
        async with someone.ask("GET", contract.PREFIX + contract.HEALTH.path) as answer:
            public = msgspec.json.decode(await answer.read(), type=contract.MetaHealth)
        assert public.services[SERVICE] == "up"
        assert not [name for name in public.services if "@" in name]


async def test_hosts_that_are_written_wrong_stop_the_start(
    deployment: Deployment, addresses: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = addresses["one"]
    monkeypatch.setenv(hosts.variable(SERVICE), f"one=https://127.0.0.1:{port},one=https://127.0.0.1:1")
    with pytest.raises(SettingsError, match="LUCID_URLS_AUTH_SERVICE: host one is named twice"):
        await gateway.create()
