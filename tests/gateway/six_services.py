"""The services that inventories/tracseq names, live on loopback, and the gateway in front of them as it says.

Everything that the gateway is told comes from the inventory. Only addresses are other ones here, and what
would take minutes goes faster.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import yaml
from aiohttp import web

from lucid import variants
from lucid.auth import service as auth
from lucid.auth.tokens import Signer
from lucid.contracts import api_gateway as contract
from lucid.dev.servers import free_port
from lucid.kit.client import variable
from tests.auth.live import TOKEN_KEY, Deployment, Person
from tests.gateway.running import running

INVENTORY = Path(__file__).parents[2] / "inventories" / "tracseq"
FASTER = 20
"""Waits and delays of the inventory are divided by this."""
READ_SECONDS = 1.0
"""For the slow one's answers, where the inventory grants a minute."""
SHORTENED = ("CIRCUIT_BREAKER_SECONDS", "REPLICA_SECONDS", "ADAPTIVE_LATENCY_SECONDS")
SIGNER = Signer(TOKEN_KEY)


def variables() -> dict[str, Any]:
    """What the inventory says of all hosts."""
    found: dict[str, Any] = {}
    for file in sorted((INVENTORY / "group_vars/all").glob("*.yml")):
        found |= yaml.safe_load(file.read_text())
    return found


class Service:
    """One address of a service, which answers as it is told to."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = free_port()
        self.status = 200
        self.seconds = 0.0
        self.seen: list[str] = []
        """The targets of what came, but for questions how it is."""
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{any:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.001)
        await self._runner.setup()
        self._site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await self._site.start()

    async def stop(self) -> None:
        """Ends it, with all that it is about to answer."""
        if self._runner is not None and self._site is not None:
            await self._site.stop()
            # aiohttp closes the connections that it knows: those just accepted reach it in a moment.
            await asyncio.sleep(0.05)
            await self._runner.cleanup()
            self._runner = self._site = None

    async def _answer(self, request: web.Request) -> web.Response:
        if request.path != "/health":
            self.seen.append(request.raw_path)
            await asyncio.sleep(self.seconds)
        if self.status != 200:
            return web.json_response({"error": {"code": "THEIRS"}}, status=self.status)
        return web.json_response({"name": self.name, "client": request.headers.get("Lucid-Client")})


class Front:
    """The gateway, the services behind it by name, and somebody before it."""

    def __init__(self, someone: Person, services: Mapping[str, list[Service]], processes: int) -> None:
        self.someone = someone
        self.services = services
        self._processes = processes

    @staticmethod
    def token(role: str = "user") -> str:
        """Of somebody who was never there before."""
        return SIGNER.mint(str(uuid.uuid4()), role, int(time.time()), str(uuid.uuid4()))

    async def outcomes(self, path: str, number: int = 8, token: str | None = None) -> list[str]:
        """What so many GETs at once are answered: of one person with this token, or of as many strangers."""
        asked = (
            self.someone.status_and_code("GET", path, token or self.token(), headers={"Connection": "close"})
            for _ in range(number)
        )
        return await asyncio.gather(*asked)

    async def until(self, path: str, outcome: str, seconds: float = 15.0) -> set[str]:
        """Asks until a whole burst has this outcome; the outcomes that were seen before it."""
        before: set[str] = set()
        async with asyncio.timeout(seconds):
            while (found := set(await self.outcomes(path))) != {outcome}:
                before |= found
                await asyncio.sleep(0.05)
        return before

    async def conditions(self) -> list[contract.DetailedHealth]:
        """What each of the gateway's processes says of itself."""
        found: dict[int, contract.DetailedHealth] = {}
        async with asyncio.timeout(10):
            while len(found) < self._processes:
                for each in await asyncio.gather(*(self.condition() for _ in range(4))):
                    found[each.process] = each
        return list(found.values())

    async def condition(self, path: str = "/health/detailed") -> contract.DetailedHealth:
        """What the process says that happens to be asked."""
        async with self.someone.ask("GET", path, self.token("admin")) as answer:
            assert answer.status == 200, await answer.text()
            return msgspec.json.decode(await answer.read(), type=contract.DetailedHealth)

    async def weights(self, name: str) -> list[int]:
        """For how many a request to a service counts, in each process."""
        return [each.upstreams[name].weight for each in await self.conditions()]


@asynccontextmanager
async def standing(deployment: Deployment) -> AsyncIterator[Front]:
    """All of it, until the end of the block."""
    found = variables()
    profile = found["lucid_gateway_profile"]
    services = {name: [Service(name) for _ in each["urls"]] for name, each in profile["upstreams"].items()}
    for name, each in profile["upstreams"].items():
        each["urls"] = [f"http://127.0.0.1:{service.port}" for service in services[name]]
    profile["upstreams"]["rag"]["read_seconds"] = READ_SECONDS
    file = deployment.directory / "profile.yml"
    file.write_text(yaml.safe_dump(profile))
    settings = {name: str(value) for name, value in found["lucid_service_settings"]["api-gateway"].items()}
    settings |= {name: str(float(settings[name]) / FASTER) for name in SHORTENED}
    settings |= {"GATEWAY_PROFILE": str(file), "DDOS_PROTECTION_ENABLED": "false"}
    settings |= variants.variables(found["lucid_services"], found["lucid_public_ports"])
    for name in deployment.ports.keys() - set(found["lucid_services"]):
        del deployment.environment[variable(name)]
    async with AsyncExitStack() as stack:
        for service in (each for replicas in services.values() for each in replicas):
            stack.push_async_callback(service.stop)
            await service.start()
        with pytest.MonkeyPatch.context() as environment:
            deployment.enter(environment)
            for name, value in found["lucid_service_settings"]["auth-service"].items():
                environment.setenv(name, str(value))
            await stack.enter_async_context(deployment.serve(await auth.create()))
        gateway = await stack.enter_async_context(running(deployment, **settings))
        # A connection for each request: they come to all processes.
        connector = aiohttp.TCPConnector(ssl=deployment.trust(), force_close=True)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        someone = Person(session, f"https://127.0.0.1:{gateway.ports['https']}")
        yield Front(someone, services, len(gateway.workers))
