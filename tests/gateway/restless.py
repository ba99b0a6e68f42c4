"""A front door of which every part can be restarted: gateways, auth-service, Redis with its Sentinels."""

import asyncio
import random
import re
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from pymongo import AsyncMongoClient

from lucid.auth.tokens import ACCESS_SECONDS, Signer
from lucid.contracts import auth_service
from lucid.contracts.api_gateway import PREFIX as API
from lucid.dev.processes import Processes
from lucid.kit.client import variable
from lucid.kit.revocations import POLL_SECONDS
from tests.auth.live import BOOTSTRAP_TOKEN, PASSWORD, TOKEN_KEY, Deployment, make_certificates, person
from tests.gateway.callers import Callers, Question
from tests.gateway.running_plain import serve_plain
from tests.gateway.units import Unit
from tests.kit.redis_site import ADDRESS, GATEWAY, PASSWORDS, Host, RedisSite

CALLERS = 8
"""At each gateway."""
FAILOVER_SECONDS = 30.0
RETURN_SECONDS = 90.0
"""Sentinel looks at who has returned every ten seconds only."""
ACCOUNT = {"email": "anna@example.org", "password": PASSWORD}
PROFILE = """
upstreams: {{things: {{urls: ["http://127.0.0.1:{port}"]}}}}
passages: [{{prefix: /things, upstream: things, access: user}}]
"""
PLENTY = {
    f"RATE_LIMIT_{tier}_{figure}": "1000000000"
    for tier in ("PUBLIC", "AUTH", "ADMIN")
    for figure in ("REQ_PER_MIN", "BURST")
} | {"DDOS_MAX_REQUESTS_PER_MIN": "1000000000"}
"""Limits that apply and that nobody comes near: a 429 would be wrong."""
LOCAL = re.compile(r"^lucid_rate_limit_local (\d+)", re.MULTILINE)


class Door:
    """Two gateways, two replicas of auth-service, three Redis; and callers that ask all the time."""

    def __init__(
        self, deployment: Deployment, gateways: list[Unit], auths: list[Unit], redis: RedisSite
    ) -> None:
        self.gateways = gateways
        self.auths = auths
        self.redis = redis
        self.callers = Callers([gateway.ports["https"] for gateway in gateways], deployment.trust())
        self.user = ""
        """Id of the account whose tokens are good."""
        self._deployment = deployment
        self.posted = Counter[str]()
        """What came to the service behind the gateways by POST, which nobody may repeat."""

    async def renew(self) -> None:
        """Gives the callers fresh tokens: those that they have end a quarter of an hour after this."""
        self.callers.questions = await _questions(self._deployment, self.user)

    async def local(self) -> list[int]:
        """Workers of each gateway that count for themselves."""
        found = []
        async with aiohttp.ClientSession() as session:
            for gateway in self.gateways:
                async with session.get(f"http://127.0.0.1:{gateway.ports['http']}/metrics") as answer:
                    match = LOCAL.search(await answer.text())
                assert match, f"{gateway.name} has no such metric"
                found.append(int(match[1]))
        return found

    async def until_shared(self) -> None:
        """Returns when every worker counts in Redis."""
        until = time.monotonic() + FAILOVER_SECONDS
        while any(await self.local()):
            assert time.monotonic() < until, [gateway.log[-2000:] for gateway in self.gateways]
            await asyncio.sleep(0.1)

    async def fail_over(self) -> Host:
        """Kills the Redis that is master, with its Sentinel; returns its host when everybody uses another."""
        master = self.master()
        for process in (master.sentinel, master.redis):
            assert process is not None
            process.kill()
        until = time.monotonic() + FAILOVER_SECONDS
        while not all(await self.local()):
            assert time.monotonic() < until, "nobody has noticed"
            await asyncio.sleep(0.02)
        await self.until_shared()
        assert self.master() is not master
        return master

    async def bring_back(self, host: Host) -> None:
        """Starts a host's Redis and Sentinel again; returns when it follows the master."""
        self.redis.start(host)
        self.redis.start_sentinel(host)
        until = time.monotonic() + RETURN_SECONDS
        while f"replicaof {ADDRESS} {self.master().port}" not in self.redis.known(host):
            assert time.monotonic() < until, self.redis.known(host)
            await asyncio.sleep(0.1)

    def master(self) -> Host:
        """The host that the Sentinels which run hold for master."""
        named = Counter(
            re.findall(r"^sentinel monitor \S+ \S+ (\d+)", host.sentinel_state, re.MULTILINE)[0]
            for host in self.redis.hosts
            if host.sentinel is not None and host.sentinel.status is None
        )
        port = int(named.most_common(1)[0][0])
        return next(host for host in self.redis.hosts if host.port == port)

    async def take(self, request: web.Request) -> web.Response:
        """What stands behind: says what it was sent."""
        text = await request.text()
        if request.method == "POST":
            self.posted[text] += 1
        return web.Response(text=text or "thing")


@asynccontextmanager
async def restless(
    directory: Path, mongodb_url: str, processes: Processes, rng: random.Random
) -> AsyncIterator[Door]:
    """The door with its callers; in the end no answer was wrong, and nothing done twice."""
    tls = make_certificates(directory / "tls")
    deployment = Deployment(directory, tls, mongodb_url)
    (deployment.credentials / "redis_password").write_text(PASSWORDS[GATEWAY])
    async with AsyncMongoClient[dict[str, Any]](mongodb_url) as client:
        await client.drop_database("lucid")
    async with AsyncExitStack() as stack:
        redis = RedisSite(processes, directory / "redis", tls)
        stack.callback(redis.kill)
        auths = [Unit(deployment, "auth-service", label=f"-{label}") for label in "ab"]
        deployment.environment |= {
            "REDIS_URL": redis.url,
            variable("auth-service"): ",".join(
                f"https://127.0.0.1:{auth.ports['internal']}" for auth in auths
            ),
        }
        profile = directory / "gateway.yml"
        settings = PLENTY | {"GATEWAY_PROFILE": str(profile), "CIRCUIT_BREAKER_SECONDS": "2"}
        gateways = [Unit(deployment, GATEWAY, label=f"-{label}", settings=settings) for label in "ab"]
        for unit in (*auths, *gateways):
            stack.push_async_callback(unit.close)
        door = Door(deployment, gateways, auths, redis)
        app = web.Application()
        app.add_routes([web.route("*", "/{path:.*}", door.take)])
        profile.write_text(PROFILE.format(port=await stack.enter_async_context(serve_plain(app))))
        async with asyncio.TaskGroup() as starting:
            for unit in (*auths, *gateways):
                starting.create_task(unit.start())
        async with asyncio.timeout(FAILOVER_SECONDS):
            while not redis.acquainted():  # noqa: ASYNC110 - their files tell, and set no event
                await asyncio.sleep(0.1)
        await door.until_shared()
        deployment.ports[GATEWAY] = gateways[0].ports["https"]
        door.user = await _register(deployment)
        await door.renew()
        async with door.callers.asking(CALLERS, rng):
            yield door
    assert not door.callers.wrong, "\n".join(door.callers.wrong[:20])
    assert max(door.posted.values()) == 1


async def _register(deployment: Deployment) -> str:
    """The id of the first account."""
    first = ACCOUNT | {"bootstrap_token": BOOTSTRAP_TOKEN}
    async with person(deployment) as anna, anna.ask("POST", f"{API}/users", json=first) as made:
        return str((await made.json())["id"])


async def _questions(deployment: Deployment, user: str) -> list[Question]:
    """Of somebody whose token is good, of others whose are not, and of anybody."""
    signer = Signer(TOKEN_KEY)
    async with person(deployment) as anna:
        tokens = []
        for _ in range(2):
            async with anna.ask("POST", f"{API}/auth/login", json=ACCOUNT) as login:
                tokens.append((await login.json())["access_token"])
        good, ended = tokens
        async with anna.ask("POST", f"{API}/auth/logout", ended) as logout:
            assert logout.status == 204
    await asyncio.sleep(2 * POLL_SECONDS)  # the gateways hear of it
    me, now = f"{API}{auth_service.ME.path}", int(time.time())

    def minted(key: Signer, at: int) -> str:
        return key.mint(user, "super_admin", at, str(uuid.uuid4()))

    refused = {
        minted(signer, now - 2 * ACCESS_SECONDS): "LUCID_ERR_2002",
        minted(Signer(bytes(32)), now): "LUCID_ERR_2003",
        "a.b.c": "LUCID_ERR_2003",
        ended: "LUCID_ERR_2009",
        None: "LUCID_ERR_2001",
    }
    return [
        *[Question("GET", me, good, 200, user)] * 3,
        *[Question("GET", "/things", good, 200, "thing")] * 3,
        *[Question("POST", "/things", good, 200, "")] * 3,
        Question("GET", API + auth_service.JWKS.path, None, 200, signer.kid),
        *[Question("GET", p, token, 401, code) for token, code in refused.items() for p in (me, "/things")],
    ]
