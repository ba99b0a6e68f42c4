"""Disks that are full or read-only: 507, nothing half-written, and all is well when there is room again."""

import asyncio
import contextlib
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path

import pytest

from lucid.contracts import chunk_processor as processor
from lucid.contracts import session_storage as storage
from lucid.contracts.types import SessionPath
from lucid.kit.client import ServiceClient
from lucid.kit.errors import Code, StorageFull
from tests.deployment import Deployment, deployment
from tests.faults.chunks import (
    SealedChunk,
    check_files,
    process,
    sealed_chunk,
    store,
    stored_leaves,
)
from tests.faults.conftest import FAST
from tests.faults.disks import MIB, Disk, disk
from tests.faults.recordings import (
    BEHIND,
    STORES,
    begin,
    end_chunks_until_over,
    kill_encoder,
    noise,
    proved,
    stop,
    view,
)
from tests.sessions.screens import Screen
from tests.sessions.waiting import until


class TestTheDiskOfChunks:
    @pytest.fixture
    def chunk_disk(self, tmp_path: Path) -> Iterator[Disk]:
        with disk(tmp_path / "disk", 40) as made:
            yield made

    @pytest.fixture
    async def house(
        self, tmp_path: Path, mongodb_url: str, redis_url: str, chunk_disk: Disk
    ) -> AsyncIterator[Deployment]:
        settings = {"CHUNK_STORAGE_PATH": str(chunk_disk.path), "STORAGE_RESERVE_GB": "0.004"}
        async with deployment(tmp_path / "house", mongodb_url, redis_url, **settings) as made:
            await made.start("session-storage", "chunk-processor")
            yield made

    @pytest.fixture
    async def client(self, house: Deployment) -> ServiceClient:
        return await house.client("chunk-processor")

    @pytest.fixture
    async def api(self, house: Deployment) -> ServiceClient:
        return await house.client("session-api")

    @pytest.fixture
    def session(self) -> str:
        return str(uuid.uuid4())

    async def test_full_takes_nothing_more_and_goes_on_when_it_has_grown(
        self, house: Deployment, chunk_disk: Disk, client: ServiceClient, api: ServiceClient, session: str
    ) -> None:
        assert await house.ready("session-storage")
        chunks = [sealed_chunk(session, index, 6 * MIB) for index in range(8)]
        refused = [chunk for chunk in chunks if not await taken(client, chunk)]
        assert refused
        assert len(refused) < len(chunks)
        check_files(chunk_disk.path, await stored_leaves(api, session))
        assert not await house.ready("session-storage")
        chunk_disk.resize(100)
        assert await house.ready("session-storage")
        for chunk in refused:
            assert not (await store(client, chunk)).duplicate
        stored = await stored_leaves(api, session)
        assert len(stored) == len(chunks)
        check_files(chunk_disk.path, stored)

    async def test_that_fills_up_in_mid_write_keeps_no_half_files(
        self, chunk_disk: Disk, client: ServiceClient, api: ServiceClient, session: str
    ) -> None:
        chunks = [sealed_chunk(session, index, 9 * MIB) for index in range(8)]
        # All at once: each finds room when it looks, and the disk ends while they write.
        outcomes = await asyncio.gather(*(taken(client, chunk) for chunk in chunks))
        assert not all(outcomes)
        stored = await stored_leaves(api, session)
        assert len(stored) == sum(outcomes)
        check_files(chunk_disk.path, stored)
        chunk_disk.resize(200)
        for chunk in chunks:
            await store(client, chunk)
        check_files(chunk_disk.path, await stored_leaves(api, session))

    async def test_remounted_read_only_is_not_ready_and_refuses(
        self, house: Deployment, chunk_disk: Disk, client: ServiceClient, api: ServiceClient, session: str
    ) -> None:
        first, second = (sealed_chunk(session, index, MIB) for index in range(2))
        assert await taken(client, first)
        chunk_disk.read_only()
        assert not await taken(client, second)
        assert not await house.ready("session-storage")
        usage = await (await house.client("session-api")).call(storage.USAGE, storage.USAGE.params())
        assert usage.free_bytes == 0
        chunk_disk.writable()
        assert await house.ready("session-storage")
        assert await taken(client, second)
        check_files(chunk_disk.path, await stored_leaves(api, session))

    async def test_full_is_said_as_507_through_chunk_processor_too(
        self, house: Deployment, chunk_disk: Disk, api: ServiceClient, session: str
    ) -> None:
        recorder = await house.client("session-recorder")
        await api.call(processor.CREATE_KEY, SessionPath(session))
        ballast = chunk_disk.fill()
        raw, nonce = os.urandom(MIB), os.urandom(32)
        with pytest.raises(StorageFull) as refused:
            await process(recorder, session, 0, raw, nonce)
        assert (refused.value.code, refused.value.code.status) == (Code.STORAGE_FULL, 507)
        ballast.unlink()
        assert not (await process(recorder, session, 0, raw, nonce)).duplicate


class TestTheSpoolsDisk:
    @pytest.fixture
    def spool_disk(self, tmp_path: Path) -> Iterator[Disk]:
        with disk(tmp_path / "house/state/session-recorder", 17) as made:
            yield made

    @pytest.fixture
    async def house(self, mongodb_url: str, redis_url: str, spool_disk: Disk) -> AsyncIterator[Deployment]:
        directory = spool_disk.path.parents[1]
        async with deployment(directory, mongodb_url, redis_url, **FAST) as made:
            await made.start(*BEHIND, *STORES, "session-recorder")
            yield made

    @pytest.fixture
    async def api(self, house: Deployment) -> ServiceClient:
        client = await house.client("session-api")
        await until(lambda: house.ready("session-recorder"))
        return client

    async def test_full_ends_the_session_honestly_and_what_is_spooled_still_arrives(
        self, house: Deployment, api: ServiceClient, screen: Screen, spool_disk: Disk
    ) -> None:
        await house.stop("session-storage")
        async with noise(screen):
            session = await begin(api, screen, frame_rate=30, quality="ultra")
            spooled = await end_chunks_until_over(api, session, screen)
        assert (spooled.end_reason, spooled.stored, spooled.state) == ("quota", 0, "finishing")
        ballast = spool_disk.fill()
        with pytest.raises(StorageFull):
            await begin(api, screen)
        ballast.unlink()
        await house.start("session-storage")
        manifest = await proved(house, api, session)
        assert (manifest.end_reason, manifest.count) == ("quota", spooled.chunks)
        await begin(api, screen)

    async def test_filled_by_somebody_else_to_the_last_byte_loses_nothing(
        self, house: Deployment, api: ServiceClient, screen: Screen, spool_disk: Disk
    ) -> None:
        session = await begin(api, screen)
        ballast = spool_disk.fill()
        await kill_encoder(screen)
        await asyncio.sleep(2.5)
        ballast.unlink()
        before = (await view(api, session)).chunks
        # Which of the two it is depends on whether the last page went to the state or to the leaves.
        await until(lambda: any_of(has_ended(api, session), has_more(api, session, before)), 40)
        await stop(api, session)
        manifest = await proved(house, api, session)
        assert manifest.end_reason == "quota" or {g.cause for g in manifest.gaps} == {"capture_restarted"}

    async def test_remounted_read_only_is_a_named_gap(
        self, house: Deployment, api: ServiceClient, screen: Screen, spool_disk: Disk
    ) -> None:
        session = await begin(api, screen)
        spool_disk.read_only()
        await kill_encoder(screen)
        await asyncio.sleep(2.5)
        spool_disk.writable()
        before = (await view(api, session)).chunks
        await until(lambda: has_more(api, session, before), 40)
        await stop(api, session)
        manifest = await proved(house, api, session)
        assert {gap.cause for gap in manifest.gaps} == {"capture_restarted"}


async def taken(client: ServiceClient, chunk: SealedChunk) -> bool:
    """Whether session-storage keeps the chunk; what it refuses it must refuse as a full disk."""
    with contextlib.suppress(StorageFull):
        await store(client, chunk)
        return True
    return False


async def has_ended(api: ServiceClient, session: str) -> bool:
    return (await view(api, session)).end_reason is not None


async def any_of(*questions: Awaitable[bool]) -> bool:
    return any(await asyncio.gather(*questions))


async def has_more(api: ServiceClient, session: str, chunks: int) -> bool:
    return (await view(api, session)).chunks > chunks
