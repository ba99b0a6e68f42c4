"""Whatever is sent to the gateway: a clean refusal, nothing smuggled to a service, and it stays as it was."""

import asyncio
import contextlib
import gzip
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from lucid.kit.errors import Envelope
from lucid.kit.tls import internal_name
from tests.auth.live import Deployment
from tests.gateway.running import GATEWAY, Gateway, Recorder, recording, running

ROUNDS = int(os.environ.get("LUCID_HOSTILE_ROUNDS", "2000"))
GROWTH_BYTES = 12 * 1024 * 1024
"""How much larger both workers together may be after the second half of the rounds than after the first."""
AT_ONCE = 20
SERVICES = ("auth-service", "blockchain-engine", "session-api")
ALLOWED = {"host", "accept-encoding", "x-request-id", "lucid-client", "content-type", "content-length",
           "lucid-deadline-ms", "authorization"}  # fmt: skip


class Case(msgspec.Struct, forbid_unknown_fields=True):
    """One entry of the corpus; its head says what the fields mean."""

    name: str
    send: Any
    answers: list[Any]
    arrives: list[str] = []
    slow: float = 10
    lingers: bool = False
    shut: bool = False

    @property
    def lasts(self) -> bool:
        """Whether it takes the gateway's patience, not just a moment."""
        return self.slow > 10

    @property
    def data(self) -> bytes:
        text = _text(self.send)
        if "{gzip}" in text:
            bomb = gzip.compress(bytes(1_000_000))
            text = text.replace("{gzip}", bomb.decode("latin-1")).replace("{length}", str(len(bomb)))
        return text.encode("latin-1")

    @property
    def expected(self) -> list[list[str]]:
        """The lists of answers of which any is right."""
        return self.answers if self.answers and isinstance(self.answers[0], list) else [self.answers]


def _text(part: Any) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, list):
        return "".join(map(_text, part))
    return _text(part["text"]) * int(part["times"])


CASES = msgspec.convert(
    yaml.safe_load(Path(__file__).with_name("corpus.yml").read_text(encoding="utf-8")), list[Case]
)
QUICK = [case for case in CASES if not case.lasts]
SLOW = [case for case in CASES if case.lasts]


@pytest.fixture
async def recorder(deployment: Deployment) -> AsyncIterator[Recorder]:
    async with recording(deployment, SERVICES) as made:
        yield made


@pytest.fixture
async def gateway(deployment: Deployment, recorder: Recorder) -> AsyncIterator[Gateway]:
    async with running(deployment, ALLOWED_HOSTS="x, localhost") as made:
        yield made


async def said(gateway: Gateway, case: Case, tls: ssl.SSLContext | None = None) -> bytes:
    """All that comes back until the connection ends."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1",
        gateway.ports["https" if tls else "http"],
        ssl=tls,
        server_hostname=internal_name(GATEWAY) if tls else None,
    )
    received = b""
    try:
        async with asyncio.timeout(case.slow):
            writer.write(case.data)
            if case.shut:
                writer.write_eof()
            while piece := await reader.read(65536):
                received += piece
                if case.lingers and received.endswith(b"}}"):
                    break
    except ConnectionError:
        pass
    except TimeoutError:
        return received + b"STILL OPEN"
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()
    return received


def answers(raw: bytes) -> list[str]:
    """Status and code of each answer in `raw`, `ok` for a success. Every refusal must be an envelope."""
    found = []
    while raw:
        head, separator, rest = raw.partition(b"\r\n\r\n")
        assert separator, raw
        lines = head.split(b"\r\n")
        status = int(lines[0].split()[1])
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])
        }
        length = int(headers[b"content-length"])
        assert len(rest) >= length, raw
        body, raw = rest[:length], rest[length:]
        assert headers[b"x-content-type-options"] == b"nosniff"
        assert b"aiohttp" not in head
        if status < 400:
            found.append("ok")
            continue
        error = msgspec.json.decode(body, type=Envelope).error
        assert headers[b"x-request-id"].decode() == error.request_id
        assert headers[b"content-type"].startswith(b"application/json")
        found.append(f"{status} {error.code.removeprefix('LUCID_ERR_')}")
    return found


def misfit(case: Case, raw: bytes) -> str:
    """How what came back differs from what the case expects; empty if it does not."""
    try:
        found = answers(raw)
    except (AssertionError, KeyError, ValueError, msgspec.MsgspecError) as error:
        return f"{case.name}: {error!r} in {raw[:500]!r}"
    return "" if found in case.expected else f"{case.name}: {found} instead of {case.expected}"


async def check(gateway: Gateway, recorder: Recorder, case: Case, tls: ssl.SSLContext | None = None) -> str:
    """What is wrong with how the gateway takes this case; empty if nothing is."""
    recorder.forget()
    if fault := misfit(case, await said(gateway, case, tls)):
        return fault
    if recorder.targets != case.arrives:
        return f"{case.name}: {recorder.targets} arrived instead of {case.arrives}"
    return ""


@pytest.mark.timeout(100)
async def test_is_refused_cleanly_and_nothing_is_smuggled(
    gateway: Gateway, recorder: Recorder, deployment: Deployment
) -> None:
    slow = [asyncio.create_task(said(gateway, case)) for case in SLOW]
    faults = [await check(gateway, recorder, case) for case in QUICK]
    faults += [await check(gateway, recorder, case, deployment.trust()) for case in QUICK if not case.shut]
    for case, raw in zip(SLOW, await asyncio.gather(*slow), strict=True):
        faults.append(misfit(case, raw))
    assert not any(faults), "\n".join(filter(None, faults))
    assert recorder.strange == []
    assert "Traceback" not in gateway.log


async def test_services_are_told_nothing_that_the_client_made_up(
    gateway: Gateway, recorder: Recorder
) -> None:
    heads = []
    for case in (case for case in QUICK if case.arrives):
        recorder.forget()
        await said(gateway, case)
        heads += recorder.heads
    assert len(heads) > 5
    for head in heads:
        lines = head.decode("ascii").split("\r\n")[1:-2]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        assert set(headers) <= ALLOWED, head
        assert len(headers) == len(lines), head
        assert headers["lucid-client"] == "127.0.0.1"
        assert headers["host"].startswith("127.0.0.1:")


@pytest.mark.timeout(100)
async def test_leaves_the_gateway_as_it_was(gateway: Gateway, recorder: Recorder) -> None:
    async def some(count: int) -> None:
        numbers = iter(range(count))

        async def work() -> None:
            for number in numbers:
                await said(gateway, QUICK[number % len(QUICK)])

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))

    workers = gateway.workers
    await some(ROUNDS // 2)
    before = gateway.memory
    await some(ROUNDS // 2)
    growth = gateway.memory - before
    assert growth < GROWTH_BYTES, f"{growth / 2**20:.1f} MiB more after {ROUNDS // 2} requests"
    assert gateway.workers == workers
    alive = Case("alive", "GET /api/v1/chain/info HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", ["ok"])
    assert answers(await said(gateway, alive)) == ["ok"]
