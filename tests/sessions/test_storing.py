"""chunk-processor and session-storage: what is acknowledged is durable, and the first record wins."""

import asyncio
import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lucid.contracts import chunk_processor as processor
from lucid.contracts import session_storage as storage
from lucid.contracts.types import ChunkPath, SessionPath
from lucid.evidence import leaf as leaves
from lucid.kit import durable
from lucid.kit.client import ServiceClient
from lucid.kit.errors import Conflict, Invalid, LucidError, NotFound, StorageFull, Unavailable
from lucid.sessions import chunk_files
from tests.deployment import Deployment


def claim_of(raw: bytes, nonce: bytes, sequence: int = 0) -> dict[str, str]:
    claim = processor.Claim(
        sequence=sequence,
        start_ms=1000,
        end_ms=2000,
        raw_nonce=nonce.hex(),
        raw_commitment=hashlib.sha256(nonce + raw).hexdigest(),
    )
    return {processor.CLAIM_HEADER: msgspec.json.encode(claim).decode()}


async def send(
    client: ServiceClient, path: ChunkPath, raw: bytes, nonce: bytes, sequence: int = 0
) -> processor.Receipt:
    return await client.call(processor.PROCESS, path, data=raw, headers=claim_of(raw, nonce, sequence))


@pytest.fixture
async def recorder(house: Deployment) -> ServiceClient:
    await house.start("session-storage", "chunk-processor")
    return await house.client("session-recorder")


@pytest.fixture
async def api(house: Deployment) -> ServiceClient:
    return await house.client("session-api")


@pytest.fixture
async def session(recorder: ServiceClient, api: ServiceClient) -> str:
    name = str(uuid.uuid4())
    await api.call(processor.CREATE_KEY, SessionPath(name))
    return name


async def test_a_chunk_comes_back_as_it_was_recorded(
    recorder: ServiceClient, api: ServiceClient, session: str
) -> None:
    raw, nonce = os.urandom(300_000) + b"text " * 50_000, os.urandom(32)
    path = ChunkPath(session, 0, 0)
    receipt = await send(recorder, path, raw, nonce)
    leaf = leaves.decode(receipt.leaf.encode())
    assert (leaf.session, leaf.plain_size, leaf.codec) == (session, len(raw), "zstd")
    assert leaf.raw_commitment == hashlib.sha256(nonce + raw).hexdigest()
    sealed = b"".join([piece async for piece in api.stream(storage.CHUNK, path)])
    assert hashlib.sha256(sealed).hexdigest() == leaf.sealed_sha256
    assert raw not in sealed
    assert b"".join([piece async for piece in api.stream(processor.OPEN, path)]) == raw


async def test_the_same_chunk_again_gets_the_same_receipt(recorder: ServiceClient, session: str) -> None:
    raw, nonce = os.urandom(10_000), os.urandom(32)
    path = ChunkPath(session, 0, 0)
    first = await send(recorder, path, raw, nonce)
    again = await send(recorder, path, raw, nonce)
    assert (first.duplicate, again.duplicate) == (False, True)
    assert again.leaf == first.leaf


async def test_another_chunk_under_the_same_name_is_refused(recorder: ServiceClient, session: str) -> None:
    path = ChunkPath(session, 0, 0)
    first = await send(recorder, path, b"first" * 100, os.urandom(32))
    with pytest.raises(Conflict) as refused:
        await send(recorder, path, b"other" * 100, os.urandom(32))
    assert refused.value.code.number == 4011
    assert (await send(recorder, ChunkPath(session, 0, 1), b"x", os.urandom(32), 1)).leaf != first.leaf


async def test_of_many_uploads_of_one_chunk_at_once_one_wins_and_one_file_stays(
    house: Deployment, recorder: ServiceClient, session: str
) -> None:
    raw, nonce = os.urandom(50_000), os.urandom(32)
    path = ChunkPath(session, 0, 0)
    receipts = await asyncio.gather(*(send(recorder, path, raw, nonce) for _ in range(8)))
    assert len({receipt.leaf for receipt in receipts}) == 1
    assert sum(not receipt.duplicate for receipt in receipts) == 1
    kept = list((house.directory / "state/session-storage/chunks" / session).rglob("*-*"))
    assert len(kept) == 1


async def test_two_chunks_cannot_have_one_place_in_the_tree(recorder: ServiceClient, session: str) -> None:
    await send(recorder, ChunkPath(session, 0, 0), b"a", os.urandom(32), sequence=0)
    with pytest.raises(Conflict):
        await send(recorder, ChunkPath(session, 0, 1), b"b", os.urandom(32), sequence=0)


async def test_a_body_that_the_claim_does_not_commit_to_is_refused(
    recorder: ServiceClient, session: str
) -> None:
    nonce = os.urandom(32)
    with pytest.raises(Invalid, match="raw_commitment"):
        await recorder.call(
            processor.PROCESS, ChunkPath(session, 0, 0), data=b"other", headers=claim_of(b"one", nonce)
        )


@pytest.mark.parametrize(
    "header", [None, "{", '{"sequence":0}', '{"sequence":-1}'], ids=["none", "torn", "short", "negative"]
)
async def test_a_bad_claim_is_refused_by_name(
    recorder: ServiceClient, session: str, header: str | None
) -> None:
    headers = {} if header is None else {processor.CLAIM_HEADER: header}
    with pytest.raises(Invalid, match=processor.CLAIM_HEADER):
        await recorder.call(processor.PROCESS, ChunkPath(session, 0, 0), data=b"x", headers=headers)


async def test_a_chunk_of_17_mib_is_refused(recorder: ServiceClient, session: str) -> None:
    raw, nonce = bytes(17 * 1024 * 1024), bytes(32)
    with pytest.raises(LucidError) as refused:
        await send(recorder, ChunkPath(session, 0, 0), raw, nonce)
    assert refused.value.code.status == 413 or isinstance(refused.value, Unavailable)


async def test_a_session_without_a_key_takes_no_chunk(recorder: ServiceClient) -> None:
    with pytest.raises(NotFound, match="no key"):
        await send(recorder, ChunkPath(str(uuid.uuid4()), 0, 0), b"x", os.urandom(32))


async def test_storage_refuses_bytes_that_are_not_the_leafs(
    house: Deployment, recorder: ServiceClient, session: str
) -> None:
    receipt = await send(recorder, ChunkPath(session, 0, 0), b"x" * 100, os.urandom(32))
    leaf = msgspec.structs.replace(leaves.decode(receipt.leaf.encode()), index=1)
    processor_client = await house.client("chunk-processor")
    with pytest.raises(Invalid, match="sealed_sha256"):
        await processor_client.call(
            storage.STORE,
            storage.StoreChunk(session=session, track=0, index=1, sequence=1),
            data=bytes(leaf.sealed_size),
            headers={storage.LEAF_HEADER: leaves.encode(leaf).decode()},
        )


async def test_the_file_is_durable_before_its_name_and_its_name_before_the_answer(
    recorder: ServiceClient, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    real_fsync, real_rename, real_sync = os.fsync, Path.rename, durable.sync_directory

    def fsync(descriptor: int) -> None:
        order.append("fsync")
        real_fsync(descriptor)

    def rename(path: Path, target: Path) -> Path:
        order.append("rename")
        return real_rename(path, target)

    def sync_directory(directory: Path) -> None:
        order.append("directory")
        real_sync(directory)

    await send(recorder, ChunkPath(session, 0, 0), b"makes the directories", os.urandom(32))
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    monkeypatch.setattr(durable, "sync_directory", sync_directory)
    await send(recorder, ChunkPath(session, 0, 1), b"counted", os.urandom(32), sequence=1)
    assert order == ["fsync", "rename", "directory", "fsync"]


async def test_a_disk_that_is_nearly_full_takes_nothing_and_says_507(
    house: Deployment, recorder: ServiceClient, session: str
) -> None:
    files = house.apps["session-storage"]._state  # the only ChunkFiles in there
    kept = next(value for value in files.values() if isinstance(value, chunk_files.ChunkFiles))
    reserve, kept.reserve = kept.reserve, 2**60
    with pytest.raises(LucidError) as refused:
        await send(recorder, ChunkPath(session, 0, 0), b"x", os.urandom(32))
    assert refused.value.code is StorageFull.default
    assert not list(kept.root.rglob("*-*"))
    kept.reserve = reserve
    assert not (await send(recorder, ChunkPath(session, 0, 0), b"x", os.urandom(32))).duplicate


async def test_an_erasure_does_not_break_off_a_chunk_that_is_being_read(
    recorder: ServiceClient, api: ServiceClient, session: str
) -> None:
    path, raw = ChunkPath(session, 0, 0), os.urandom(12 * 1024 * 1024)
    receipt = await send(recorder, path, raw, os.urandom(32))
    pieces = api.stream(storage.CHUNK, path)
    read = await anext(pieces)
    await api.call(storage.ERASE, SessionPath(session))
    read += b"".join([piece async for piece in pieces])
    assert hashlib.sha256(read).hexdigest() == leaves.decode(receipt.leaf.encode()).sealed_sha256
    with pytest.raises(NotFound, match="was erased"):
        await anext(api.stream(storage.CHUNK, path))


@pytest.mark.parametrize("part", [None, (10, 20)])
async def test_a_chunk_that_is_erased_just_before_its_first_byte_is_404(
    recorder: ServiceClient,
    api: ServiceClient,
    session: str,
    monkeypatch: pytest.MonkeyPatch,
    part: tuple[int, int] | None,
) -> None:
    path, read, loop = ChunkPath(session, 0, 0), chunk_files.ChunkFiles.read, asyncio.get_running_loop()
    await send(recorder, path, os.urandom(1000), os.urandom(32))

    def read_after_erasure(*arguments: Any) -> Iterator[bytes]:
        erased = asyncio.run_coroutine_threadsafe(api.call(storage.ERASE, SessionPath(session)), loop)
        erased.result(timeout=10)
        yield from read(*arguments)

    monkeypatch.setattr(chunk_files.ChunkFiles, "read", read_after_erasure)
    with pytest.raises(NotFound, match="was erased"):
        await anext(api.stream(storage.CHUNK, path, part=part))


async def test_storage_being_away_is_503_and_the_chunk_goes_through_when_it_is_back(
    house: Deployment, recorder: ServiceClient, session: str
) -> None:
    raw, nonce, path = b"y" * 1000, os.urandom(32), ChunkPath(session, 0, 0)
    await house.stop("session-storage")
    with pytest.raises(Unavailable) as failed:
        await recorder.call(processor.PROCESS, path, data=raw, headers=claim_of(raw, nonce), seconds=2)
    assert failed.value.code.status in {503, 504}
    await house.start("session-storage")
    assert not (await send(recorder, path, raw, nonce)).duplicate
