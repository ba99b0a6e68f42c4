"""Uploads that come twice, at once, out of order, slowly, or not to their end."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lucid.contracts import chunk_processor as processor
from lucid.contracts.types import SessionPath
from lucid.evidence import leaf as leaves
from lucid.kit import requests
from lucid.kit.client import ServiceClient
from lucid.sessions import storage as service
from tests.deployment import Deployment
from tests.faults.chunks import check_files, files_in, process, sealed_chunk, store, stored_leaves
from tests.faults.connections import Caller
from tests.faults.seeds import seeded
from tests.sessions.waiting import until


@pytest.fixture
async def client(house: Deployment) -> ServiceClient:
    """chunk-processor's client of session-storage."""
    await house.start("session-storage")
    return await house.client("chunk-processor")


@pytest.fixture
async def api(house: Deployment) -> ServiceClient:
    return await house.client("session-api")


@pytest.fixture
def root(house: Deployment) -> Path:
    """Where chunks are kept."""
    return house.directory / "state/session-storage/chunks"


@pytest.fixture
def session() -> str:
    return str(uuid.uuid4())


@pytest.fixture
async def caller(house: Deployment) -> AsyncIterator[list[Caller]]:
    """Callers that the test has made; their connections end with it."""
    made: list[Caller] = []
    yield made
    for each in made:
        each.cut()


async def test_one_sealing_that_comes_many_times_at_once_is_kept_once_and_whole(
    client: ServiceClient, api: ServiceClient, root: Path, session: str
) -> None:
    for index in range(4):
        chunk = sealed_chunk(session, index, 3_000_000)
        answers = await asyncio.gather(*(store(client, chunk) for _ in range(6)))
        assert {answer.leaf for answer in answers} == {leaves.encode(chunk.leaf).decode()}
        assert sum(not answer.duplicate for answer in answers) == 1
    check_files(root, await stored_leaves(api, session))


async def test_chunks_doubled_and_out_of_order_are_kept_once_and_in_order(
    house: Deployment, client: ServiceClient, api: ServiceClient, root: Path, session: str
) -> None:
    await house.start("chunk-processor")
    recorder = await house.client("session-recorder")
    await api.call(processor.CREATE_KEY, SessionPath(session))
    rng = seeded("chunks out of order")
    chunks = [(index, rng.randbytes(rng.randrange(1, 200_000)), os.urandom(32)) for index in range(20)]
    order = chunks * 3
    rng.shuffle(order)
    receipts = await asyncio.gather(
        *(process(recorder, session, index, raw, nonce) for index, raw, nonce in order)
    )
    stored = await stored_leaves(api, session)
    assert [leaves.decode(encoded).index for encoded in stored] == list(range(20))
    assert {receipt.leaf.encode() for receipt in receipts} == set(stored)
    check_files(root, stored)


async def test_a_connection_that_is_cut_in_mid_body_leaves_nothing(
    house: Deployment, client: ServiceClient, root: Path, session: str
) -> None:
    chunk = sealed_chunk(session, 0, 1_000_000)
    context = house.client_context("chunk-processor")
    for part in (0, 1, 300_000, len(chunk.data) - 1):
        for _ in range(service.UPLOADS_AT_ONCE):
            each = await Caller.announce(house.ports["session-storage"], context, chunk)
            await each.send(chunk.data[:part])
            each.cut()
    await until(lambda: all_slots_free(house))
    assert not files_in(root)
    assert not (await store(client, chunk)).duplicate


async def test_uploads_that_stall_give_their_places_back(
    house: Deployment,
    client: ServiceClient,
    root: Path,
    session: str,
    caller: list[Caller],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(requests, "SILENT_SECONDS", 1.0)
    stalled, good = sealed_chunk(session, 0, 1_000_000), sealed_chunk(session, 1, 1_000_000)
    context = house.client_context("chunk-processor")
    for _ in range(service.UPLOADS_AT_ONCE):
        caller.append(await Caller.announce(house.ports["session-storage"], context, stalled))
        await caller[-1].send(stalled.data[:500_000])
    await until(lambda: no_slot_free(house))
    async with asyncio.timeout(5):
        assert not (await store(client, good)).duplicate
    for each in caller:
        assert b" 504 " in (answer := await each.answer())
        assert b"LUCID_ERR_5006" in answer
    assert {path.name for path in files_in(root)} == {good.file_name}


async def test_a_body_that_trickles_in_is_given_up_too(
    house: Deployment,
    client: ServiceClient,
    session: str,
    caller: list[Caller],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(requests, "BODY_SECONDS", 1.0)
    chunk = sealed_chunk(session, 0, 1_000_000)
    context = house.client_context("chunk-processor")
    caller.append(await Caller.announce(house.ports["session-storage"], context, chunk))
    answer = asyncio.create_task(caller[0].answer())
    for byte in range(50):
        if answer.done():
            break
        await caller[0].send(chunk.data[byte : byte + 1])
        await asyncio.sleep(0.1)
    assert b"LUCID_ERR_5006" in await answer


async def test_files_without_a_record_go_at_the_second_sweep_whatever_the_clock_says(
    house: Deployment, client: ServiceClient, api: ServiceClient, root: Path, session: str
) -> None:
    kept = sealed_chunk(session, 0, 1000)
    await store(client, kept)
    (path,) = files_in(root)
    on_its_way, torn = path.with_name("00000001-0123456789abcdef"), path.with_name("00000002-0.1.tmp")
    for orphan in (on_its_way, torn):
        orphan.write_bytes(b"written, but not on record yet")
        os.utime(orphan, (0, 0))  # as after a jump of the wall clock
    app = house.apps["session-storage"]
    suspects = await service._orphans(app, set())
    assert files_in(root) == {path, on_its_way, torn}
    assert suspects == {on_its_way, torn}
    assert await service._orphans(app, suspects) == set()
    check_files(root, await stored_leaves(api, session))


async def all_slots_free(house: Deployment) -> bool:
    return house.apps["session-storage"][service.UPLOADS]._value == service.UPLOADS_AT_ONCE


async def no_slot_free(house: Deployment) -> bool:
    return house.apps["session-storage"][service.UPLOADS].locked()
