"""Services of the catalogue in this process: real applications, real mutual TLS, ports of their own."""

import asyncio
import os
import secrets
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import msgspec
from aiohttp import web
from pymongo import AsyncMongoClient

from lucid import catalog
from lucid.dev import ca
from lucid.kit import hosts
from lucid.kit.client import ServiceClient, variable
from lucid.kit.routes import Route
from lucid.kit.tls import TlsConfig, client_context, internal_name, server_context

P = TypeVar("P", bound=msgspec.Struct)
B = TypeVar("B")
R = TypeVar("R")

HANDSHAKE_SECONDS = 0.1
"""How long the last connections have for TLS when a service stops."""
DATABASES = ("lucid", "lucid_blocks", "lucid_sessions")


class Deployment:
    """Some services, each started by name; `settings` are variables that every one of them gets.

    What may have several hosts runs on the one that there is, named as the system is, until `add_host`.
    """

    def __init__(self, directory: Path, mongodb_url: str, redis_url: str, **settings: str) -> None:
        self.directory = directory
        self.services = catalog.load().services
        self.ports = dict(zip(self.services, free_ports(len(self.services)), strict=True))
        self.hosts: dict[str, dict[str, int]] = {}
        self.tls = directory / "tls"
        ca.ensure(self.tls, [*self.services, "prometheus", "stranger"], extra_addresses=["127.0.0.1"])
        self.stores = {"MONGODB_URL": mongodb_url, "REDIS_URL": redis_url}
        self.settings = settings
        self.apps: dict[str, web.Application] = {}
        self._stack = AsyncExitStack()
        self._running: dict[str, web.AppRunner] = {}

    async def start(self, *names: str) -> None:
        """Starts services, in the order given."""
        for name in names:
            self.apps[name] = await self._run(name, name, self.environment(name), self.ports[name])

    def add_host(self, name: str, host: str) -> None:
        """Makes it known to services that are started afterwards that a service runs on this host too."""
        self.hosts.setdefault(name, {})[host] = free_ports(1)[0]

    async def start_on(self, host: str, name: str) -> None:
        """Starts a service on a host that was added, with a state and credentials of its own."""
        label = f"{name}@{host}"
        environment = self.environment(name) | self._files(name, label) | {"HOST_NAME": host}
        await self._run(label, name, environment, self.hosts[name][host])

    async def _run(self, label: str, name: str, environment: dict[str, str], port: int) -> web.Application:
        with mock.patch.dict(os.environ, environment, clear=True):
            module, _, function = self.services[name].app.partition(":")
            app: web.Application = await getattr(import_module(module), function)()
        runner = web.AppRunner(app, shutdown_timeout=1.0)
        await runner.setup()
        context = server_context(self._tls_config(name))
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
        self._running[label] = runner
        return app

    async def stop(self, *names: str) -> None:
        """Stops services; one on a host that was added by its name, `@` and the host."""
        for name in names:
            runner = self._running.pop(name)
            for site in tuple(runner.sites):
                await site.stop()
            # Only connections that are there are closed; who shakes hands meanwhile would be served for ever.
            await asyncio.sleep(HANDSHAKE_SECONDS)
            await runner.cleanup()

    async def close(self) -> None:
        """Stops everything, in reverse."""
        while self._running:
            await self._running.popitem()[1].cleanup()
        await self._stack.aclose()

    async def call(
        self, caller: str, route: Route[P, B, R], params: P, body: B | None = None, **options: Any
    ) -> R:
        """Calls `route` with the certificate of `caller`."""
        return await (await self.client(caller)).call(route, params, body, **options)

    async def client(self, caller: str) -> ServiceClient:
        """A client with the certificate of `caller` that knows every service."""
        urls, by_host = self.urls(self.services), self.urls_by_host(self.services)
        client = ServiceClient(urls, self.client_context(caller), by_host)
        self._stack.push_async_callback(client.close)
        return client

    async def ready(self, name: str) -> bool:
        """Whether the service says that it may be given traffic."""
        client = await self.client("prometheus")
        url = f"{self.urls([name])[name]}/health/ready"
        async with client.session.get(url, server_hostname=internal_name(name)) as answer:
            return answer.status == 200

    def client_context(self, caller: str) -> ssl.SSLContext:
        """The TLS context of a caller."""
        return client_context(self.tls / f"{caller}.crt", self.tls / f"{caller}.key", self.tls / "ca.crt")

    def urls(self, names: Any) -> dict[str, str]:
        """Base URLs by service."""
        return {name: f"https://127.0.0.1:{self.ports[name]}" for name in names}

    def urls_by_host(self, names: Any) -> dict[str, dict[str, str]]:
        """Base URLs of those that may have several hosts, by service and host."""
        return {
            name: {
                host: f"https://127.0.0.1:{port}"
                for host, port in {socket.gethostname(): self.ports[name], **self.hosts.get(name, {})}.items()
            }
            for name in names
            if catalog.load().may_have_several(self.services[name].group)
        }

    def environment(self, name: str) -> dict[str, str]:
        """The environment that a service is made in."""
        calls = self.services[name].calls
        return {
            "PATH": os.environ["PATH"],
            "ENVIRONMENT": "development",
            "TLS_DIRECTORY": str(self.tls),
            **self._files(name, name),
            "STORAGE_RESERVE_GB": "0.1",
            **self.stores,
            **{variable(callee): url for callee, url in self.urls(calls).items()},
            **{hosts.variable(c): hosts.written(urls) for c, urls in self.urls_by_host(calls).items()},
            **self.settings,
        }

    def _files(self, name: str, label: str) -> dict[str, str]:
        """Where a service keeps its state and finds its credentials, which are made."""
        state, credentials = self.directory / "state" / label, self.directory / "credentials" / label
        state.mkdir(parents=True, exist_ok=True)
        credentials.mkdir(parents=True, exist_ok=True)
        for credential in catalog.load().services[name].credentials:
            if not (credentials / credential).exists():
                (credentials / credential).write_text(secrets.token_hex(32) + "\n")
        return {"STATE_DIRECTORY": str(state), "CREDENTIALS_DIRECTORY": str(credentials)}

    def _tls_config(self, name: str) -> TlsConfig:
        mutual = self.services[name].mutual
        return TlsConfig(
            self.tls / f"{name}.crt",
            self.tls / f"{name}.key",
            self.tls / "ca.crt" if mutual else None,
            "mutual" if mutual else "server",
        )


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens on, below the range that the kernel gives to outgoing connections."""
    found: list[int] = []
    while len(found) < number:
        port = 20000 + secrets.randbelow(7000)
        with socket.socket() as probe:
            if port not in found and probe.connect_ex(("127.0.0.1", port)):
                found.append(port)
    return found


@asynccontextmanager
async def deployment(
    directory: Path, mongodb_url: str, redis_url: str, **settings: str
) -> AsyncIterator[Deployment]:
    """A deployment on empty databases."""
    async with AsyncMongoClient[dict[str, Any]](mongodb_url) as client:
        for name in DATABASES:
            await client.drop_database(name)
    made = Deployment(directory, mongodb_url, redis_url, **settings)
    try:
        yield made
    finally:
        await made.close()
