"""Runs small services inside a test: the kit's own application, on real TLS sockets of loopback."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from lucid.dev import ca
from lucid.dev.servers import free_port
from lucid.kit.client import ServiceClient
from lucid.kit.tls import TlsConfig, client_context, internal_name, server_context

HOST = "127.0.0.1"


class House:
    """Certificates of a few services, and a port for each."""

    def __init__(self, directory: Path, *services: str) -> None:
        self.directory = directory
        ca.ensure(directory, services)
        self.ports = {name: free_port() for name in services}

    def files(self, name: str) -> tuple[Path, Path, Path]:
        """Certificate, key and authority of `name`."""
        return self.directory / f"{name}.crt", self.directory / f"{name}.key", self.directory / "ca.crt"

    def tls(self, name: str) -> ssl.SSLContext:
        """TLS as `name` speaks it when it calls."""
        return client_context(*self.files(name))

    def url(self, name: str) -> str:
        """Where `name` is served."""
        return f"https://{HOST}:{self.ports[name]}"

    @asynccontextmanager
    async def serve(self, app: web.Application, name: str, *, port: int | None = None) -> AsyncIterator[None]:
        """Serves `app` with the certificate of `name`, at its port unless told another."""
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        try:
            await runner.setup()
            context = server_context(TlsConfig(*self.files(name), "mutual"))
            await web.TCPSite(runner, HOST, port or self.ports[name], ssl_context=context).start()
            yield
        finally:
            await runner.cleanup()

    @asynccontextmanager
    async def calling(self, name: str, **urls: str) -> AsyncIterator[ServiceClient]:
        """A client that calls as `name`; callees as keywords with `_` for `-`."""
        client = ServiceClient(
            {callee.replace("_", "-"): url for callee, url in urls.items()}, self.tls(name)
        )
        try:
            yield client
        finally:
            await client.close()

    @asynccontextmanager
    async def asking(self, name: str, callee: str) -> AsyncIterator["Asker"]:
        """A bare HTTP client that shows the certificate of `name` to `callee`."""
        connector = aiohttp.TCPConnector(ssl=self.tls(name))
        async with aiohttp.ClientSession(connector=connector) as session:
            yield Asker(session, self.url(callee), callee)


class Asker:
    """Sends requests as they are written, without the service client's help."""

    def __init__(self, session: aiohttp.ClientSession, base: str, callee: str) -> None:
        self._session = session
        self._base = base
        self._callee = callee

    @asynccontextmanager
    async def ask(self, method: str, path: str, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request; `path` as it shall stand in the request line."""
        url = URL(self._base + path, encoded=True)
        async with self._session.request(
            method, url, server_hostname=internal_name(self._callee), **options
        ) as answer:
            yield answer

    async def outcome(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        """The answer's status and the number in its envelope's code."""
        async with self.ask(method, path, **options) as answer:
            envelope = await answer.json()
            return answer.status, envelope["error"]["code"].removeprefix("LUCID_ERR_")
