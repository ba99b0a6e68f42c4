"""Managers and hosts of desktops in this process, on real TLS sockets; people who ask them for desktops."""

import os
import time
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import msgspec
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lucid.auth.tokens import Signer
from lucid.contracts import rdp_manager as contract
from lucid.contracts import resource_monitor, session_controller, session_recorder
from lucid.contracts.types import SessionPath
from lucid.evidence import policy as trust
from lucid.kit import context
from lucid.kit.client import ServiceClient
from lucid.kit.hosts import variable, written
from lucid.kit.routes import NOTHING, Access, Route
from lucid.kit.tls import internal_name, server_context
from lucid.rdp import manager
from lucid.rdp import resource_monitor as monitor
from tests.deployment import Deployment, deployment, free_ports
from tests.rdp.desk_host import DeskHost

P = TypeVar("P", bound=msgspec.Struct)
R = TypeVar("R")

ADDRESS = "203.0.113.7"
QUICK = {"RDP_POLL_SECONDS": "0.5", "RDP_SESSION_MEMORY_MB": "1", "RDP_DISK_RESERVE_MB": "1"}


def signed(key: Ed25519PrivateKey, name: str = "office", **more: Any) -> str:
    """A policy that allows keyboard and mouse, and `more`."""
    found = trust.TrustPolicy(
        name=name,
        input=trust.Input(mouse=True, keyboard=True),
        owner_key=key.public_key().public_bytes_raw().hex(),
        **more,
    )
    return trust.sign(found, key).decode()


class Person:
    """Somebody with an account and a key, who comes through the gateway from an address."""

    def __init__(self, client: ServiceClient, signer: Signer, role: Access = Access.USER) -> None:
        self.id = str(uuid.uuid4())
        self.key = Ed25519PrivateKey.generate()
        self.address = ADDRESS
        self._client = client
        self._token = signer.mint(self.id, role.role, int(time.time()), uuid.uuid4().hex)

    async def ask(
        self,
        route: Route[P, Any, R],
        params: Any = NOTHING,
        body: Any = None,
        *,
        by: ServiceClient | None = None,
    ) -> R:
        """One request, at the first manager or another."""
        before = context.authorization.set(f"Bearer {self._token}")
        try:
            headers = {context.CLIENT_HEADER: self.address} if self.address else {}
            return await (by or self._client).call(route, params, body, headers=headers, seconds=20)
        finally:
            context.authorization.reset(before)

    async def policy(self, name: str = "office", **more: Any) -> contract.Policy:
        """A new policy of this person."""
        return await self.ask(contract.CREATE_POLICY, body=contract.PutPolicy(signed(self.key, name, **more)))

    async def open(
        self, policy: contract.Policy | None = None, *, by: ServiceClient | None = None, **more: Any
    ) -> contract.Connection:
        """A desktop, under a policy made for it unless one is given."""
        policy = policy or await self.policy(uuid.uuid4().hex)
        return await self.ask(
            contract.CREATE, body=contract.CreateRdpSession(policy=policy.id, **more), by=by
        )

    async def get(self, session: str) -> contract.RdpSession:
        """The desktop as this person sees it."""
        return await self.ask(contract.GET, SessionPath(session))


class Site:
    """Hosts `rdp1`, `rdp2`, each with a session-controller and a resource-monitor, and a manager."""

    def __init__(self, house: Deployment, hosts: Iterable[str], ports: dict[str, dict[str, int]]) -> None:
        self.house = house
        self.hosts = {host: DeskHost() for host in hosts}
        self._ports = ports
        self._running: dict[tuple[str, str], web.AppRunner] = {}
        self._managers: list[web.AppRunner] = []
        self._closing = AsyncExitStack()
        self.client: ServiceClient
        self._signer: Signer

    async def begin(self) -> None:
        """Starts everything."""
        await self.house.start("auth-service", "session-api")
        for host in self.hosts:
            await self.up(host)
        seed = (self.house.directory / "credentials/auth-service/token_key").read_text()
        self._signer = Signer(bytes.fromhex(seed))
        self.client = await self.manager()

    async def manager(self) -> ServiceClient:
        """One more rdp-manager; the client of it that the gateway would have."""
        with mock.patch.dict(os.environ, self.house.environment(contract.SERVICE), clear=True):
            app = await manager.create()
        first = not self._managers  # this one is where the gateway would look for it
        (port,) = [self.house.ports[contract.SERVICE]] if first else free_ports(1)
        self._managers.append(await self._serve(app, contract.SERVICE, port))
        client = ServiceClient(
            {contract.SERVICE: f"https://127.0.0.1:{port}"}, self.house.client_context("api-gateway")
        )
        self._closing.push_async_callback(client.close)
        return client

    async def stop_manager(self) -> None:
        """Ends the one that was started last."""
        await self._managers.pop().cleanup()

    async def metrics(self) -> str:
        """What the first manager tells Prometheus."""
        client = await self.house.client("prometheus")
        url = f"https://127.0.0.1:{self.house.ports[contract.SERVICE]}/metrics"
        async with client.session.get(url, server_hostname=internal_name(contract.SERVICE)) as answer:
            return await answer.text()

    async def up(self, host: str) -> None:
        """The host answers, with the sessions that it has."""
        with mock.patch.dict(os.environ, self.house.environment(resource_monitor.SERVICE), clear=True):
            measuring = await monitor.create()
        for name, app in (
            (session_controller.SERVICE, self.hosts[host].build()),
            (resource_monitor.SERVICE, measuring),
        ):
            self._running[host, name] = await self._serve(app, name, self._ports[name][host])

    async def down(self, host: str) -> None:
        """Nothing on the host answers any more."""
        for name in (session_controller.SERVICE, resource_monitor.SERVICE):
            await self._running.pop((host, name)).cleanup()

    @asynccontextmanager
    async def another_manager(self) -> AsyncIterator[ServiceClient]:
        """One more for a while."""
        yield await self.manager()
        await self.stop_manager()

    def person(self, role: Access = Access.USER) -> Person:
        """Somebody new."""
        return Person(self.client, self._signer, role)

    async def close(self) -> None:
        """Ends everything."""
        await self._closing.aclose()
        while self._managers:
            await self.stop_manager()
        for runner in self._running.values():
            await runner.cleanup()

    async def _serve(self, app: web.Application, name: str, port: int) -> web.AppRunner:
        runner = web.AppRunner(app, shutdown_timeout=0.2)
        await runner.setup()
        tls = server_context(self.house._tls_config(name))
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()
        return runner


@asynccontextmanager
async def site(
    directory: Path, mongodb_url: str, redis_url: str, *hosts: str, **settings: str
) -> AsyncIterator[Site]:
    """A site with these hosts, on empty databases."""
    services = (session_controller.SERVICE, resource_monitor.SERVICE, session_recorder.SERVICE)
    ports = dict(zip(hosts, zip(*[iter(free_ports(3 * len(hosts)))] * 3, strict=True), strict=True))
    by_service = {name: {host: ports[host][i] for host in hosts} for i, name in enumerate(services)}
    urls = {
        variable(name): written({host: f"https://127.0.0.1:{port}" for host, port in by_host.items()})
        for name, by_host in by_service.items()
    }
    async with deployment(directory, mongodb_url, redis_url, **QUICK | urls | settings) as house:
        made = Site(house, hosts, by_service)
        try:
            await made.begin()
            yield made
        finally:
            await made.close()
