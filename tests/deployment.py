"""Services of the catalogue in this process: real applications, real mutual TLS, ports of their own."""

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
from lucid.kit.client import ServiceClient, variable
from lucid.kit.routes import Route
from lucid.kit.tls import TlsConfig, client_context, internal_name, server_context

P = TypeVar("P", bound=msgspec.Struct)
B = TypeVar("B")
R = TypeVar("R")

DATABASES = ("lucid", "lucid_blocks", "lucid_sessions")


class Deployment:
    """Some services, each started by name; `settings` are variables that every one of them gets."""

    def __init__(self, directory: Path, mongodb_url: str, redis_url: str, **settings: str) -> None:
        self.directory = directory
        self.services = catalog.load().services
        self.ports = dict(zip(self.services, free_ports(len(self.services)), strict=True))
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
            with mock.patch.dict(os.environ, self.environment(name), clear=True):
                module, _, function = self.services[name].app.partition(":")
                app = await getattr(import_module(module), function)()
            self.apps[name] = app
            runner = web.AppRunner(app, shutdown_timeout=1.0)
            await runner.setup()
            context = server_context(self._tls_config(name))
            await web.TCPSite(runner, "127.0.0.1", self.ports[name], ssl_context=context).start()
            self._running[name] = runner

    async def stop(self, *names: str) -> None:
        """Stops services."""
        for name in names:
            await self._running.pop(name).cleanup()

    async def close(self) -> None:
        """Stops everything, in reverse."""
        await self.stop(*reversed(self._running))
        await self._stack.aclose()

    async def call(
        self, caller: str, route: Route[P, B, R], params: P, body: B | None = None, **options: Any
    ) -> R:
        """Calls `route` with the certificate of `caller`."""
        return await (await self.client(caller)).call(route, params, body, **options)

    async def client(self, caller: str) -> ServiceClient:
        """A client with the certificate of `caller` that knows every service."""
        client = ServiceClient(self.urls(self.services), self.client_context(caller))
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

    def environment(self, name: str) -> dict[str, str]:
        """The environment that a service is made in."""
        state, credentials = self.directory / "state" / name, self.directory / "credentials" / name
        state.mkdir(parents=True, exist_ok=True)
        credentials.mkdir(parents=True, exist_ok=True)
        for credential in catalog.load().services[name].credentials:
            if not (credentials / credential).exists():
                (credentials / credential).write_text(secrets.token_hex(32) + "\n")
        urls = self.urls(self.services[name].calls)
        return {
            "PATH": os.environ["PATH"],
            "ENVIRONMENT": "development",
            "STATE_DIRECTORY": str(state),
            "TLS_DIRECTORY": str(self.tls),
            "CREDENTIALS_DIRECTORY": str(credentials),
            "STORAGE_RESERVE_GB": "0.1",
            **self.stores,
            **{variable(callee): url for callee, url in urls.items()},
            **self.settings,
        }

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
