"""Runs services of the catalogue inside a test: the real application, on a real TLS socket of loopback."""

import os
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from lucid import catalog
from lucid.dev import ca
from lucid.dev.servers import free_port
from lucid.kit.app import SERVICE
from lucid.kit.client import ServiceClient, variable
from lucid.kit.tls import TlsConfig, client_context, internal_name, server_context

TOKEN_KEY = bytes(range(32))
MFA_SECRET = bytes(range(32, 64))
BOOTSTRAP_TOKEN = "b007" * 16
PASSWORD = "seven wet horses 7"


def make_certificates(directory: Path) -> Path:
    """Certificates for every service and for Prometheus; returns their directory."""
    ca.ensure(directory, [*catalog.load().services, "prometheus"])
    return directory


class Deployment:
    """The files and environment of services on one machine; nothing runs yet."""

    def __init__(self, directory: Path, tls: Path, mongodb_url: str) -> None:
        self.directory = directory
        self.tls = tls
        self.credentials = directory / "credentials"
        self.credentials.mkdir()
        (self.credentials / "token_key").write_text(TOKEN_KEY.hex() + "\n")
        (self.credentials / "bootstrap_token").write_text(BOOTSTRAP_TOKEN + "\n")
        (self.credentials / "mfa_secret").write_text(MFA_SECRET.hex() + "\n")
        self.ports = {name: free_port() for name in catalog.load().services}
        self.environment = {
            "ENVIRONMENT": "development",
            "STATE_DIRECTORY": str(directory / "state"),
            "TLS_DIRECTORY": str(self.tls),
            "CREDENTIALS_DIRECTORY": str(self.credentials),
            "MONGODB_URL": mongodb_url,
            **{variable(name): f"https://127.0.0.1:{port}" for name, port in self.ports.items()},
        }

    def enter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Makes this deployment's environment the test's own."""
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)

    def tls_of(self, name: str) -> ssl.SSLContext:
        """TLS as the service `name` speaks it when it calls another."""
        return client_context(self.tls / f"{name}.crt", self.tls / f"{name}.key", self.tls / "ca.crt")

    def calls(self, name: str, callees: Iterable[str]) -> ServiceClient:
        """A client that calls as the service `name`."""
        return ServiceClient({c: f"https://127.0.0.1:{self.ports[c]}" for c in callees}, self.tls_of(name))

    def trust(self) -> ssl.SSLContext:
        """TLS as a person's program speaks it: no certificate of its own."""
        return ssl.create_default_context(cafile=self.tls / "ca.crt")

    @asynccontextmanager
    async def serve(self, app: web.Application) -> AsyncIterator[None]:
        """Serves the application at its port until the end of the block."""
        service = app[SERVICE]
        cert, key = self.tls / f"{service.name}.crt", self.tls / f"{service.name}.key"
        config = TlsConfig(cert, key, self.tls / "ca.crt", "mutual" if service.mutual else "server")
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        try:
            await runner.setup()
            port = self.ports[service.name]
            await web.TCPSite(runner, "127.0.0.1", port, ssl_context=server_context(config)).start()
            yield
        finally:
            await runner.cleanup()


class Person:
    """Somebody outside, with an HTTP client and perhaps a token."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session = session
        self.base = base

    @asynccontextmanager
    async def ask(
        self,
        method: str,
        path: str,
        token: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        **body: Any,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request; `path` as it shall stand in the request line, `data` or `json` as its body."""
        bearer = {"Authorization": f"Bearer {token}"} if token else {}
        async with self._session.request(
            method,
            URL(self.base + path, encoded=True),
            headers={**bearer, **(headers or {})},
            server_hostname=internal_name("api-gateway") if self.base.startswith("https") else None,
            **body,
        ) as answer:
            yield answer

    async def status_and_code(self, method: str, path: str, token: str | None = None, **more: Any) -> str:
        """The answer's status and error code, e.g. `401 LUCID_ERR_2001`; the status alone if it is fine."""
        async with self.ask(method, path, token, **more) as answer:
            if answer.status < 400:
                return str(answer.status)
            envelope = await answer.json()
            return f"{answer.status} {envelope['error']['code']}"


@asynccontextmanager
async def person(deployment: Deployment) -> AsyncIterator[Person]:
    """Somebody who reaches the deployment's gateway over TLS."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=deployment.trust())) as session:
        yield Person(session, f"https://127.0.0.1:{deployment.ports['api-gateway']}")


def inherited() -> dict[str, str]:
    """What a child process needs of this one's environment, and no more."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
