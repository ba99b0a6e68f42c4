"""Runs on the control host: clients of the gateway at a steady rate, until a line comes on standard input.

`python -m tests.site.load RATE`, requests a second. They reach every service that people's questions reach;
half of them come on connections of their own. Each is an idempotent GET, repeated once if there was no answer
or a 5xx. Prints a `Figures` as JSON.
"""

import asyncio
import itertools
import ssl
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

import aiohttp
import msgspec

from lab import place
from lucid.cli.api import ApiError, Target
from lucid.contracts import api_gateway, auth_service, blockchain_engine, session_api
from lucid.contracts.api_gateway import PREFIX
from lucid.kit.routes import NOTHING
from tests.site.standing import Site

ANSWER_SECONDS = 30.0
PAUSE_SECONDS = 0.5
LOGIN_SECONDS = 400.0
"""How long an access token is used: less than it is good for."""
PATHS = (
    api_gateway.INFO.path,
    auth_service.ME.path,
    session_api.LIST.path,
    blockchain_engine.STATUS.path,
)


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What the clients saw."""

    requests: int
    repeated: dict[str, int]
    """Requests that were sent a second time, by why."""
    refused: int
    """Connections that were refused, first attempts included."""
    lost: tuple[str, ...]
    """Requests whose second attempt failed too."""
    slowest: float
    """Seconds from the first attempt to the answer."""


@dataclass
class Clients:
    """Counts what becomes of requests."""

    url: str
    headers: dict[str, str]
    kept: aiohttp.ClientSession
    fresh: aiohttp.ClientSession
    requests: int = 0
    refused: int = 0
    slowest: float = 0.0
    repeated: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)

    async def ask(self, number: int) -> None:
        """One request, and its repetition if it needs one."""
        path = PATHS[number // 2 % len(PATHS)]
        session = (self.kept, self.fresh)[number % 2]
        begun = time.monotonic()
        self.requests += 1
        if why := await self._attempt(session, path):
            self.repeated[f"{path}: {why}"] += 1
            await asyncio.sleep(PAUSE_SECONDS)
            if again := await self._attempt(session, path):
                self.lost.append(f"{path}: {why}, then {again}, {time.monotonic() - begun:.1f} s in all")
        self.slowest = max(self.slowest, time.monotonic() - begun)

    async def _attempt(self, session: aiohttp.ClientSession, path: str) -> str:
        """Why there was no answer that counts; empty if there was one."""
        try:
            async with session.get(self.url + PREFIX + path, headers=self.headers) as answer:
                await answer.read()
                return "" if answer.status == 200 else f"status {answer.status}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.refused += isinstance(error, aiohttp.ClientConnectorError)
            return type(error).__name__


async def drive(site: Site, rate: float) -> Figures:
    """Asks at that rate, however long answers take."""
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, over.set)
    target = site.target()
    context = ssl.create_default_context(cafile=str(target.ca))
    limit = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    async with (
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, keepalive_timeout=4, limit=0),
            timeout=limit,
        ) as kept,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, force_close=True, limit=0),
            timeout=limit,
        ) as fresh,
    ):
        clients = Clients(target.url, await logged_in(target), kept, fresh)
        renewing = asyncio.create_task(renew(target, clients))
        begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in itertools.count():
                if over.is_set():
                    break
                group.create_task(clients.ask(number))
                await asyncio.sleep(max(0.0, begun + (number + 1) / rate - time.monotonic()))
        renewing.cancel()
    return Figures(
        requests=clients.requests,
        repeated=dict(clients.repeated),
        refused=clients.refused,
        lost=tuple(clients.lost),
        slowest=round(clients.slowest, 1),
    )


async def logged_in(target: Target) -> dict[str, str]:
    """The headers of somebody who has just logged in."""
    assert target.operator is not None
    login = auth_service.Login(email=target.operator.email, password=target.operator.password)
    async with target.open() as api:
        tokens = await api.call(auth_service.LOGIN, NOTHING, login)
    return {"Authorization": f"Bearer {tokens.access_token}"}


async def renew(target: Target, clients: Clients) -> None:
    """Logs in anew before the token expires."""
    while True:
        await asyncio.sleep(LOGIN_SECONDS)
        with suppress(ApiError):  # tried again when the next is due: there is time for two
            clients.headers = await logged_in(target)


if __name__ == "__main__":
    sys.stdout.buffer.write(
        msgspec.json.encode(asyncio.run(drive(Site(place.here()), float(sys.argv[1])))) + b"\n"
    )
