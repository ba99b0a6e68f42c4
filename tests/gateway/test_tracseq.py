"""The inventory for TracSeq, as it is shipped: what it says, and a gateway that runs by it.

Six live services stand behind the gateway; one fails, one is slow, one runs twice. A test leaves them well.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
import pytest_asyncio
import yaml
from pymongo import MongoClient

from lucid import catalog
from lucid.contracts import api_gateway as contract
from lucid.contracts import auth_service
from lucid.deploy import checks, plan, site
from lucid.dev import servers
from lucid.dev.processes import Processes
from lucid.kit.routes import Access, Route
from tests.auth.live import BOOTSTRAP_TOKEN, PASSWORD, Deployment, make_certificates
from tests.gateway.six_services import INVENTORY, Front, standing, variables
from tests.sessions.waiting import until

pytestmark = pytest.mark.quiet

API = contract.PREFIX
BEHIND = {
    "auth": "/api/auth", "sample": "/api/samples", "storage": "/api/storage", "template": "/api/templates",
    "sequencing": "/api/sequencing", "rag": "/api/rag",
}  # fmt: skip
OPEN = "503 LUCID_ERR_5007"
AWAY = "503 LUCID_ERR_5008"

for_all = partial(pytest_asyncio.fixture, scope="module", loop_scope="module")


@for_all()
async def front(
    tmp_path_factory: pytest.TempPathFactory, mongodb_url: str, processes: Processes
) -> AsyncIterator[Front]:
    directory = tmp_path_factory.mktemp("tracseq")
    deployment = Deployment(directory, make_certificates(directory / "tls"), mongodb_url)
    port = servers.free_port()
    servers.start_redis(processes, directory / "redis", directory / "redis.log", port)
    deployment.environment["REDIS_URL"] = servers.redis_url(port)
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        client["lucid"]["users"].delete_many({})
        async with standing(deployment) as made:
            yield made
        client["lucid"]["users"].delete_many({})


@pytest.fixture(scope="module")
def read() -> site.Site:
    """The inventory, as Ansible reads it."""
    pytest.importorskip("ansible", reason="requirements/deploy.txt is not installed")
    return site.read(INVENTORY)


class TestTheInventory:
    def test_can_be_deployed(self, read: site.Site) -> None:
        assert checks.problems(read.adapted(catalog.load()), read) == ()

    def test_has_the_gateway_at_8000_and_auth_service_and_nothing_else_of_lucid(
        self, read: site.Site
    ) -> None:
        adapted = read.adapted(catalog.load())
        units = [unit for host in read.hosts for unit in plan.units(adapted, read, host)]
        assert {unit.name for unit in units} == {"api-gateway", "auth-service"}
        (gateway,) = (unit for unit in units if unit.public)
        assert gateway.sockets[0] == plan.Socket("https", "[::]:8000")
        urls = {name for name in gateway.environment if name.startswith("LUCID_URL_")}
        assert urls == {"LUCID_URL_AUTH_SERVICE"}

    def test_lets_the_gateway_reach_each_service_and_others_none(self, read: site.Site) -> None:
        upstreams = variables()["lucid_gateway_profile"]["upstreams"]
        wanted = {
            (parts.hostname, parts.port)
            for each in upstreams.values()
            for parts in map(urlsplit, each["urls"])
        }
        allowed = {
            (str(network.network_address), rule.port)
            for host in read.hosts
            for rule in host.outbound
            for network in rule.networks()
            if rule.users == ("lucid-api-gateway",)
        }
        assert allowed == wanted
        inside = {
            host.name for host in read.hosts if any("lucid" in u for r in host.outbound for u in r.users)
        }
        assert inside == {host.name for host in read.of_group(catalog.Group.EDGE)}

    def test_has_the_six_services_at_their_ports(self) -> None:
        upstreams = variables()["lucid_gateway_profile"]["upstreams"]
        ports = {name: {urlsplit(url).port for url in each["urls"]} for name, each in upstreams.items()}
        assert ports == {"auth": {8080}, "sample": {8081}, "storage": {8082}, "template": {8083},
                         "sequencing": {8084}, "rag": {8000}}  # fmt: skip
        assert [name for name, each in upstreams.items() if len(each["urls"]) > 1] == ["sequencing"]

    def test_has_its_figures(self) -> None:
        settings = variables()["lucid_service_settings"]
        gateway = settings["api-gateway"]
        limits = {value for name, value in gateway.items() if name.startswith("RATE_LIMIT_")}
        assert limits == {100}
        assert gateway["ADAPTIVE_RATE_LIMITING"] == "true"
        assert (gateway["CIRCUIT_BREAKER_FAILURES"], gateway["CIRCUIT_BREAKER_SECONDS"]) == (5, 60)
        assert (gateway["REPLICA_FAILURES"], gateway["REPLICA_SECONDS"]) == (3, 30)
        assert settings["auth-service"]["ACCESS_TOKEN_SECONDS"] == 8 * 3600

    def test_holds_no_secret(self) -> None:
        files = [each for each in INVENTORY.rglob("*") if each.is_file()]
        assert not [each for each in files if "vault_" in each.read_text()]

    def test_gives_the_kernel_what_the_gateway_wants(self) -> None:
        defaults = Path(__file__).parents[2] / "roles/base/defaults/main.yml"
        kernel = yaml.safe_load(defaults.read_text())["base_kernel_settings"]
        assert kernel["net.core.somaxconn"] >= 1024
        assert kernel.items() >= {
            "net.core.netdev_max_backlog": 5000,
            "net.core.rmem_default": 262144,
            "net.core.rmem_max": 16777216,
            "net.core.wmem_default": 262144,
            "net.core.wmem_max": 16777216,
            "net.ipv4.tcp_rmem": "4096 87380 16777216",
            "net.ipv4.tcp_wmem": "4096 65536 16777216",
            "net.ipv4.tcp_congestion_control": "bbr",
        }.items()  # fmt: skip


@pytest.mark.asyncio(loop_scope="module")
class TestTheGateway:
    async def test_leads_to_each_service_by_its_path(self, front: Front) -> None:
        for name, prefix in BEHIND.items():
            path = f"{prefix}/some/thing?a=b%20c"
            async with front.someone.ask("GET", path, front.token()) as answer:
                assert (answer.status, (await answer.json())["name"]) == (200, name)
            assert path in [target for each in front.services[name] for target in each.seen]
            assert await front.someone.status_and_code("GET", prefix) == "401 LUCID_ERR_2001"

    async def test_gives_tokens_that_hold_for_eight_hours(self, front: Front) -> None:
        account = {"email": "root@example.org", "password": PASSWORD}
        body = account | {"bootstrap_token": BOOTSTRAP_TOKEN}
        assert await front.someone.status_and_code("POST", API + "/users", json=body) == "201"
        async with front.someone.ask("POST", API + "/auth/login", json=account) as answer:
            tokens = await answer.json()
        claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
        assert tokens["expires_in"] == claims["exp"] - claims["iat"] == 8 * 3600
        assert await front.outcomes("/api/samples", 1, tokens["access_token"]) == ["200"]

    async def test_knows_nothing_of_services_that_are_not_there(self, front: Front) -> None:
        for path in ("/sessions", "/chain/info", "/limits"):
            outcome = await front.someone.status_and_code("GET", API + path, front.token("super_admin"))
            assert outcome == "404 LUCID_ERR_4001", path
        async with front.someone.ask("GET", API + "/openapi.json") as answer:
            paths = (await answer.json())["paths"]
        routes: list[Route[Any, Any, Any]] = [*contract.ROUTES, *auth_service.ROUTES]
        assert set(paths) == {API + route.path for route in routes if route.access > Access.INTERNAL}
        async with front.someone.ask("GET", API + "/meta/health") as answer:
            health = await answer.json()
        assert health["status"] == "healthy"
        assert health["services"] == dict.fromkeys(["redis", "auth-service", *BEHIND], "up")

    async def test_admits_a_hundred_requests_a_minute(self, front: Front) -> None:
        token, begin = front.token(), time.monotonic()
        outcomes = [each for _ in range(13) for each in await front.outcomes("/api/samples", 10, token)]
        refilled = (time.monotonic() - begin) * 100 / 60
        assert set(outcomes) == {"200", "429 LUCID_ERR_3001"}
        assert 100 <= outcomes.count("200") <= 100 + refilled + 1

    async def test_tells_admins_in_detail_how_it_is_and_nobody_else(self, front: Front) -> None:
        for path in ("/health/detailed", API + "/meta/health/detailed"):
            assert await front.someone.status_and_code("GET", path) == "401 LUCID_ERR_2001"
            assert await front.someone.status_and_code("GET", path, front.token()) == "403 LUCID_ERR_2004"
            found = await front.condition(path)
            assert set(found.dependencies) == {"redis"}
            assert {name: len(each.replicas) for name, each in found.upstreams.items()} == {
                name: 2 if name == "sequencing" else 1 for name in ("auth-service", *BEHIND)
            }
            assert {each.check.status for each in found.upstreams.values() if each.check} == {"up"}
            assert min(each.mean_milliseconds for each in found.upstreams.values()) > 0


@pytest.mark.asyncio(loop_scope="module")
class TestTheOneThatFails:
    async def test_is_given_a_rest_while_the_others_serve_and_comes_back(self, front: Front) -> None:
        (service,) = front.services["storage"]
        service.status = 500
        before = await front.until(BEHIND["storage"], OPEN)
        assert "500 THEIRS" in before  # passed on as it came

        async def resting() -> bool:
            await front.outcomes(BEHIND["storage"])
            return {each.upstreams["storage"].breaker for each in await front.conditions()} == {"open"}

        await until(resting)
        reached = len(service.seen)
        assert await front.outcomes(BEHIND["storage"]) == [OPEN] * 8
        assert len(service.seen) == reached
        async with front.someone.ask("GET", API + "/meta/health") as answer:
            health = await answer.json()
        assert (health["status"], health["services"]["storage"]) == ("degraded", "down")
        for name, prefix in BEHIND.items():
            if name != "storage":
                assert await front.outcomes(prefix, 4) == ["200"] * 4, name
        service.status = 200
        assert await front.until(BEHIND["storage"], "200") <= {OPEN, "200"}

    async def test_is_given_a_rest_when_it_is_gone_too(self, front: Front) -> None:
        (service,) = front.services["template"]
        await service.stop()
        assert AWAY in await front.until(BEHIND["template"], OPEN)
        await service.start()
        await front.until(BEHIND["template"], "200")

        async def closed() -> bool:
            await front.outcomes(BEHIND["template"])
            return {each.upstreams["template"].breaker for each in await front.conditions()} == {"closed"}

        await until(closed)


@pytest.mark.asyncio(loop_scope="module")
class TestTheOneThatIsSlow:
    async def test_is_not_waited_for_for_ever(self, front: Front) -> None:
        (service,) = front.services["rag"]
        service.seconds, begin = 30.0, time.monotonic()
        assert await front.outcomes(BEHIND["rag"], 3) == ["504 LUCID_ERR_5006"] * 3
        assert time.monotonic() - begin < 5
        service.seconds = 0.0
        assert await front.outcomes(BEHIND["rag"], 20) == ["200"] * 20

    async def test_is_asked_less_while_it_struggles(self, front: Front) -> None:
        (service,) = front.services["rag"]
        assert await front.outcomes(BEHIND["rag"], 60, front.token()) == ["200"] * 60
        service.seconds = 0.3

        async def struggles() -> bool:
            await front.outcomes(BEHIND["rag"], 24)
            return min(await front.weights("rag")) >= 3

        await until(struggles)
        found = await front.outcomes(BEHIND["rag"], 60, front.token())
        assert found.count("429 LUCID_ERR_3001") >= 20
        assert set(await front.weights("sample")) == {1}
        assert await front.outcomes(BEHIND["sample"], 60, front.token()) == ["200"] * 60
        service.seconds, worst = 0.0, max(await front.weights("rag"))

        async def recovers() -> bool:
            return max(await front.weights("rag")) < worst

        await until(recovers)


@pytest.mark.asyncio(loop_scope="module")
class TestTheOneThatRunsTwice:
    async def test_is_asked_where_fewer_requests_are_under_way(self, front: Front) -> None:
        slow, quick = front.services["sequencing"]
        slow.seconds = 0.3
        before = len(slow.seen), len(quick.seen)
        for _ in range(5):
            assert await front.outcomes(BEHIND["sequencing"], 16) == ["200"] * 16
        slow.seconds = 0.0
        asked = len(slow.seen) - before[0], len(quick.seen) - before[1]
        assert sum(asked) == 80
        assert 0 < asked[0] <= asked[1]

    async def test_loses_no_request_when_one_dies_and_uses_it_again_later(self, front: Front) -> None:
        left, dying = front.services["sequencing"]
        dying.seconds = 0.1  # so that some are under way when it dies
        outcomes = asyncio.Queue[str]()
        people = [asyncio.create_task(self._asking(front, outcomes)) for _ in range(8)]
        assert {await outcomes.get() for _ in range(50)} == {"200"}
        await dying.stop()
        assert {await outcomes.get() for _ in range(150)} == {"200"}
        for person in people:
            person.cancel()
        await asyncio.gather(*people, return_exceptions=True)
        address = f"127.0.0.1:{dying.port}"
        conditions = await front.conditions()
        states = [r for each in conditions for r in each.upstreams["sequencing"].replicas]
        assert [each for each in states if each.address == address and each.out_seconds > 0]
        assert not [each for each in states if each.address != address and each.out_seconds > 0]
        dying.seen.clear()
        dying.seconds = 0.0
        await dying.start()
        async with asyncio.timeout(10):
            while not dying.seen:
                assert set(await front.outcomes(BEHIND["sequencing"])) == {"200"}
        assert left.seen

    @staticmethod
    async def _asking(front: Front, outcomes: asyncio.Queue[str]) -> None:
        """Asks one thing after the other."""
        while True:
            for outcome in await front.outcomes(BEHIND["sequencing"], 1):
                await outcomes.put(outcome)
