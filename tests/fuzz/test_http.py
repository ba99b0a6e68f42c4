"""No request, whatever it holds, gets anything but an answer that its contract allows.

Every route of every contract is sent what is nearly right. `LUCID_FUZZ_SECONDS` sets how long (default 10);
`LUCID_SEED` repeats a run, whose seed is in the failure, case by case.
"""

import asyncio
import gc
import os
import random
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from yarl import URL

from lucid.catalog import load
from lucid.contracts import api_gateway, session_api, session_recorder, xrdp
from lucid.gateway.table import public_routes
from lucid.kit.context import DEADLINE_HEADER
from lucid.kit.errors import BY_LABEL, Code, Envelope
from lucid.kit.routes import Access, Route
from lucid.kit.tls import internal_name
from lucid.sessions.recorder import START_SECONDS
from tests.deployment import Deployment, deployment
from tests.fuzz.cases import Case, make
from tests.sessions.people import administrator, person
from tests.sessions.waiting import until

SECONDS = float(os.environ.get("LUCID_FUZZ_SECONDS", "10"))
SEED = int(os.environ.get("LUCID_SEED") or secrets.randbits(32))
AT_ONCE = 8
LONGEST_SECONDS = 10.0
GROWTH_BYTES = 64 * 1024 * 1024
"""How much larger the process may be after the second half of the run than after the first."""

pytestmark = pytest.mark.timeout(SECONDS * 2 + 100)

RECORDABLE = {session_api.START, session_recorder.START}
"""Wait for a picture of the display; they are answered 5008 where there is none, as is documented."""


@pytest.fixture
async def house(tmp_path: Path, mongodb_url: str, redis_url: str) -> AsyncIterator[Deployment]:
    """Every service but the agent of desktops, which would start units of this machine; all healthy."""
    settings = {"BLOCK_TIME_SECONDS": "0.3", "ANCHOR_POLL_SECONDS": "0.1", "LOG_LEVEL": "ERROR"}
    async with deployment(tmp_path, mongodb_url, redis_url, **settings) as made:
        await made.start(*(name for name in load().start_order() if name != xrdp.SERVICE))
        await until(lambda: made.ready("session-recorder"))
        yield made


class Fuzzer:
    """Sends cases, number by number, and remembers what was wrong with the answers."""

    def __init__(self, house: Deployment, tokens: list[str]) -> None:
        self.answers: Counter[int] = Counter()
        self.faults: list[str] = []
        self.number = 0
        self._house = house
        self._tokens = tokens
        self._targets = targets()
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    async def run(self, seconds: float) -> None:
        """Fuzzes until the time is over or something is wrong."""
        until_s = time.monotonic() + seconds
        await asyncio.gather(*(self._work(until_s) for _ in range(AT_ONCE)))

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()

    async def _work(self, until_s: float) -> None:
        while time.monotonic() < until_s and not self.faults:
            number, self.number = self.number, self.number + 1
            rng = random.Random(f"{SEED}/{number}")  # noqa: S311 - to be repeated, not to be secret
            service, route = self._targets[number % len(self._targets)]
            case = make(rng, route)
            fault = await self._fault(rng, service, route, case)
            if fault:
                self.faults.append(f"LUCID_SEED={SEED}, case {number}, {service}: {fault}\n{case}")

    async def _fault(
        self, rng: random.Random, service: str, route: Route[Any, Any, Any], case: Case
    ) -> str | None:
        headers = dict(case.headers)
        if rng.random() < 0.9:
            headers.setdefault("Authorization", f"Bearer {rng.choice(self._tokens)}")
        prefix = api_gateway.PREFIX if service == api_gateway.SERVICE else ""
        longest = LONGEST_SECONDS + (START_SECONDS if route in RECORDABLE else 0)
        try:
            async with asyncio.timeout(longest):
                async with self._session(rng, service).request(
                    case.method,
                    URL(self._house.urls([service])[service] + prefix + case.path, encoded=True),
                    data=case.body,
                    headers=headers,
                    server_hostname=internal_name(service),
                    allow_redirects=False,
                ) as answer:
                    return self._judge(route, case, answer, await answer.read())
        except TimeoutError:
            return f"no answer within {longest:g} s"
        except aiohttp.ClientError as error:
            return f"the connection broke: {error!r}"

    def _judge(
        self, route: Route[Any, Any, Any], case: Case, answer: aiohttp.ClientResponse, body: bytes
    ) -> str | None:
        self.answers[answer.status] += 1
        if answer.status < 400:
            return None
        try:
            error = msgspec.json.decode(body, type=Envelope).error
            code = BY_LABEL[error.code]
        except (msgspec.MsgspecError, KeyError) as reason:
            return f"{answer.status} without an error envelope ({reason}): {body[:300]!r}"
        if not error.request_id or answer.headers.get("X-Request-ID") != error.request_id:
            return f"{code} without its request id"
        documented = code in route.errors or (code is Code.UNAVAILABLE and route in RECORDABLE)
        documented |= code is Code.TIMEOUT and DEADLINE_HEADER in case.headers
        if code.status >= 500 and not documented:
            return f"{answer.status} {code.label}: {error.message}"
        return None

    def _session(self, rng: random.Random, service: str) -> aiohttp.ClientSession:
        """A client with the certificate of one of those who may call the service."""
        caller = rng.choice(sorted(load().callers_of(service)) or ["stranger"])
        if caller not in self._sessions:
            connector = aiohttp.TCPConnector(ssl=self._house.client_context(caller))
            self._sessions[caller] = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        return self._sessions[caller]


def targets() -> list[tuple[str, Route[Any, Any, Any]]]:
    """Every route at its own service, and those with an outside audience at the gateway too."""
    found = [
        (service.name, route)
        for service in load().services.values()
        if service.name not in {api_gateway.SERVICE, xrdp.SERVICE}
        for route in import_module(service.contract).ROUTES
    ]
    outside = [route for route in public_routes(load()) if route.access is not Access.INTERNAL]
    return found + [(api_gateway.SERVICE, route) for route in (*api_gateway.ROUTES, *outside)]


def resident_bytes() -> int:
    """Memory of this process, in which all the services run."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_every_route_answers_whatever_it_is_sent(house: Deployment) -> None:
    people = [await person(house, "alice"), await administrator(house)]
    fuzzer = Fuzzer(house, [who._token for who in people])
    try:
        await fuzzer.run(SECONDS / 2)
        before = resident_bytes()
        await fuzzer.run(SECONDS / 2)
        grown = resident_bytes() - before
    finally:
        await fuzzer.close()
    assert not fuzzer.faults, "\n".join(fuzzer.faults)
    assert fuzzer.number > len(targets()), "not every route was reached; give it more time"
    assert {200, 400, 401, 403, 404} <= set(fuzzer.answers), fuzzer.answers
    assert grown < GROWTH_BYTES, f"LUCID_SEED={SEED}: {grown} bytes more after {fuzzer.number} requests"
    for name in house.apps:
        assert await house.ready(name), name
