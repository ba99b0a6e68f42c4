"""Two gateways of two workers each, on one Redis, and sixteen clients at every worker; nothing refills."""

import asyncio
import re
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web
from pymongo import AsyncMongoClient

from lucid.contracts import auth_service
from lucid.gateway.limits.ledger import Ledger
from lucid.gateway.limits.tiers import KeyedBy, requests
from lucid.kit.routes import NOTHING
from lucid.kit.tls import internal_name
from tests.auth.live import BOOTSTRAP_TOKEN, PASSWORD, Deployment, make_certificates
from tests.gateway.limits.sites import PATIENT_SECONDS, connection
from tests.gateway.running_plain import serve_plain
from tests.gateway.units import Unit

CLIENTS_OF_A_WORKER = 16
PROFILE = """
upstreams: {{things: {{urls: ["http://127.0.0.1:{port}"]}}}}
passages:
  - {{prefix: /things, upstream: things, access: user}}
  - {{prefix: /open, upstream: things, access: public}}
"""
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


class Limits(msgspec.Struct, frozen=True):
    """How many requests each kind of caller has, for good."""

    public: int
    user: int
    admin: int

    def settings(self) -> dict[str, str]:
        """The gateway's settings with these. Redis is waited for: limits are not to become local."""
        bursts = {"PUBLIC": self.public, "AUTH": self.user, "ADMIN": self.admin}
        return {
            "RATE_LIMIT_REDIS_SECONDS": str(PATIENT_SECONDS),
            "DDOS_PROTECTION_ENABLED": "false",
            **{f"RATE_LIMIT_{name}_BURST": str(burst) for name, burst in bursts.items()},
            **{f"RATE_LIMIT_{name}_REQ_PER_MIN": "0" for name in bursts},
        }


class Client:
    """One connection, kept, on which requests follow each other; nothing is ever sent twice."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, path: str, token: str | None = None) -> int:
        """The status of the answer."""
        shown = f"Authorization: Bearer {token}\r\n" if token else ""
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{shown}\r\n".encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = LENGTH.search(head)
        assert length, head
        await self._reader.readexactly(int(length[1]))
        return int(head[9:12])

    @property
    def port(self) -> int:
        return int(self._writer.get_extra_info("sockname")[1])

    def close(self) -> None:
        self._writer.transport.abort()


class Front:
    """The gateways, and clients of theirs: each `CLIENTS_OF_A_WORKER` with the same worker."""

    def __init__(self, deployment: Deployment, gateways: list[Unit]) -> None:
        self.gateways = gateways
        self.user = self.admin = ""
        """Access tokens."""
        self.clients: list[list[Client]] = []
        """By worker."""
        self.reached = 0
        """Requests that the service behind has seen."""
        self._deployment = deployment

    def everybody(self) -> list[Client]:
        return [client for group in self.clients for client in group]

    async def crowd(self, number: int, path: str, token: str | None = None) -> Counter[int]:
        """Has all clients ask, each one request after the other, `number` together; counts the answers."""
        return await crowd(self.everybody(), number, path, token)

    async def connect(self) -> None:
        """Opens the clients' connections. The kernel chooses the worker: those that have enough hang up."""
        trusted = self._deployment.trust()
        for gateway in self.gateways:
            groups: dict[int, list[Client]] = {pid: [] for pid in gateway.workers}
            async with asyncio.timeout(30):
                while min(map(len, groups.values())) < CLIENTS_OF_A_WORKER:
                    client = await _open(gateway, trusted)
                    group = groups[_worker(gateway, client)]
                    if len(group) < CLIENTS_OF_A_WORKER:
                        group.append(client)
                    else:
                        client.close()
            self.clients += groups.values()

    async def serve(self, _: web.Request) -> web.Response:
        """What stands behind."""
        self.reached += 1
        return web.Response(text="thing")


async def crowd(clients: Iterable[Client], number: int, path: str, token: str | None = None) -> Counter[int]:
    """Has these clients ask, `number` times together; answers by status."""
    answers, left = Counter[int](), number

    async def ask(client: Client) -> None:
        nonlocal left
        while left:
            left -= 1
            answers[await client.ask(path, token)] += 1

    async with asyncio.TaskGroup() as asking:
        for client in clients:
            asking.create_task(ask(client))
    return answers


@asynccontextmanager
async def two_gateways(
    directory: Path, mongodb_url: str, redis_url: str, limits: Limits
) -> AsyncIterator[Front]:
    """A fresh auth-service, two gateways, their clients; a user and an admin who have asked for nothing."""
    deployment = Deployment(directory, make_certificates(directory / "tls"), mongodb_url)
    deployment.environment |= {"REDIS_URL": redis_url}
    async with AsyncMongoClient[dict[str, Any]](mongodb_url) as mongodb:
        await mongodb.drop_database("lucid")
    profile = directory / "gateway.yml"
    async with AsyncExitStack() as stack:
        auth = Unit(deployment, "auth-service", ports={"internal": deployment.ports["auth-service"]})
        settings = limits.settings() | {"GATEWAY_PROFILE": str(profile)}
        gateways = [Unit(deployment, "api-gateway", label=label, settings=settings) for label in "ab"]
        for unit in (auth, *gateways):
            stack.push_async_callback(unit.close)
        front = Front(deployment, gateways)
        app = web.Application()
        app.add_routes([web.get("/{path:.*}", front.serve)])
        profile.write_text(PROFILE.format(port=await stack.enter_async_context(serve_plain(app))))
        await auth.start()
        front.admin, front.user = await _people(deployment)
        async with asyncio.TaskGroup() as starting:
            for gateway in gateways:
                starting.create_task(gateway.start())
        # What other tests have left in the bucket of this address.
        public = requests("public", 0, limits.public, KeyedBy.ADDRESS)
        async with connection(redis_url) as redis:
            await Ledger(redis, PATIENT_SECONDS).reset(public, "127.0.0.1")
        await front.connect()
        for client in front.everybody():
            stack.callback(client.close)
        yield front


async def _people(deployment: Deployment) -> tuple[str, str]:
    """Access tokens of an admin and of a user."""
    calls = deployment.calls("api-gateway", [auth_service.SERVICE])
    tokens = []
    for mail, bootstrap in (("anna@example.org", BOOTSTRAP_TOKEN), ("ben@example.org", None)):
        register = auth_service.Register(email=mail, password=PASSWORD, bootstrap_token=bootstrap)
        await calls.call(auth_service.REGISTER, NOTHING, register)
        login = auth_service.Login(email=mail, password=PASSWORD)
        tokens.append((await calls.call(auth_service.LOGIN, NOTHING, login)).access_token)
    await calls.close()
    return tokens[0], tokens[1]


async def _open(gateway: Unit, trusted: ssl.SSLContext) -> Client:
    """A connection that its worker has taken: the handshake is done."""
    return Client(
        *await asyncio.open_connection(
            "127.0.0.1", gateway.ports["https"], ssl=trusted, server_hostname=internal_name("api-gateway")
        )
    )


def _worker(gateway: Unit, client: Client) -> int:
    """The worker that has the other end of the connection (proc(5): net/tcp, and fd of each process)."""
    here, there = (f"0100007F:{port:04X}" for port in (gateway.ports["https"], client.port))
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines())
    inode = next(words[9] for words in lines if words[1:3] == [here, there])
    for pid in gateway.workers:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            if descriptor.is_symlink() and str(descriptor.readlink()) == f"socket:[{inode}]":
                return pid
    raise LookupError(f"no worker of {gateway.name} has the connection of port {client.port}")
