"""The password is changed while sessions run: every key is wrapped anew, and no chunk is touched."""

import asyncio
import os
import secrets
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from lucid.contracts import chunk_processor as processor
from lucid.contracts.types import ChunkPath, SessionPath
from lucid.evidence.errors import SealError
from lucid.evidence.wrapping import Kek
from lucid.kit import mongo
from lucid.kit.errors import LucidError, NotFound
from lucid.kit.mongo import Database
from lucid.sessions import processor_store
from lucid.sessions.processor_store import SessionKeys
from lucid.sessions.rewrapping import measure
from tests.deployment import Deployment
from tests.sessions.test_storing import send
from tests.sessions.waiting import until

OLD, NEW, OTHER = (Kek(bytes([number]) * 32, f"{number:016x}") for number in (1, 2, 3))


@pytest.fixture
async def database(mongodb_url: str, database_name: str) -> AsyncIterator[Database]:
    async with mongo.connect(mongodb_url) as client:
        yield client.get_database(database_name, codec_options=mongo.CODEC_OPTIONS)


async def filled(database: Database, count: int) -> dict[str, bytes]:
    """So many sessions with keys under the old password, and their keys."""
    keys = SessionKeys(database, OLD)
    names = [str(uuid.uuid4()) for _ in range(count)]
    for name in names:
        await keys.create(name, 1)
    return {name: await keys.key(name) for name in names}


class TestKeys:
    async def test_are_all_wrapped_anew_and_stay_the_same(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(processor_store, "BATCH", 4)
        expected = await filled(database, 10)
        keys = SessionKeys(database, NEW, OLD)
        assert await keys.counts() == {"current": 0, "previous": 10, "unknown": 0}
        assert [await keys.rewrap() for _ in range(4)] == [4, 4, 2, 0]
        assert await measure(keys) == {"current": 10, "previous": 0, "unknown": 0}
        assert REGISTRY.get_sample_value("lucid_session_keys", {"kek": "current"}) == 10
        alone = SessionKeys(database, NEW)
        assert {name: await alone.stored_key(name) for name in expected} == expected

    async def test_open_under_either_password_before_and_after(self, database: Database) -> None:
        ((name, key),) = (await filled(database, 1)).items()
        keys = SessionKeys(database, NEW, OLD)
        assert await keys.stored_key(name) == key
        await keys.rewrap()
        assert await keys.stored_key(name) == key

    async def test_are_wrapped_once_by_many_processes_and_after_a_kill(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(processor_store, "BATCH", 5)
        expected = await filled(database, 20)
        killed = asyncio.create_task(SessionKeys(database, NEW, OLD).rewrap())
        await asyncio.sleep(0.004)
        killed.cancel()
        await asyncio.gather(killed, return_exceptions=True)

        async def work() -> None:
            keys = SessionKeys(database, NEW, OLD)
            while await keys.rewrap():
                pass

        await asyncio.gather(*(work() for _ in range(3)))
        alone = SessionKeys(database, NEW)
        assert (await alone.counts())["current"] == 20
        assert {name: await alone.stored_key(name) for name in expected} == expected

    async def test_under_a_password_that_was_not_given_are_counted_and_named(
        self, database: Database
    ) -> None:
        ((name, _),) = (await filled(database, 1)).items()
        keys = SessionKeys(database, NEW, OTHER)
        assert await keys.rewrap() == 0
        assert (await keys.counts())["unknown"] == 1
        with pytest.raises(SealError, match="encryption_password_previous"):
            await keys.stored_key(name)

    async def test_that_were_erased_stay_erased(self, database: Database) -> None:
        ((name, _),) = (await filled(database, 1)).items()
        keys = SessionKeys(database, NEW, OLD)
        assert await keys.erase(name, 7) == 7
        assert await keys.erase(name, 9) == 7
        assert await keys.rewrap() == 0
        for attempt in (keys.stored_key(name), keys.key(name), keys.create(name, 8)):
            with pytest.raises(NotFound, match="was erased"):
                await attempt
        assert await keys.counts() == {"current": 0, "previous": 0, "unknown": 0}

    async def test_of_sessions_that_never_had_one_cannot_be_made_once_erased(
        self, database: Database
    ) -> None:
        keys, name = SessionKeys(database, NEW), str(uuid.uuid4())
        await keys.erase(name, 7)
        with pytest.raises(NotFound, match="was erased"):
            await keys.create(name, 8)


class TestAService:
    async def test_changes_its_password_while_a_session_runs(self, house: Deployment) -> None:
        await house.start("session-storage", "chunk-processor")
        recorder, api = await house.client("session-recorder"), await house.client("session-api")
        session, first = str(uuid.uuid4()), os.urandom(1000)
        await api.call(processor.CREATE_KEY, SessionPath(session))
        await send(recorder, ChunkPath(session, 0, 0), first, os.urandom(32))
        before = (await api.call(processor.CREATE_KEY, SessionPath(session))).kek_id

        credentials = house.directory / "credentials/chunk-processor"
        await asyncio.to_thread(_rotate, credentials)
        await house.stop("chunk-processor")
        await house.start("chunk-processor")
        await send(recorder, ChunkPath(session, 0, 1), b"after", os.urandom(32), sequence=1)

        async def rewrapped() -> bool:
            return (await api.call(processor.CREATE_KEY, SessionPath(session))).kek_id != before

        await until(rewrapped)
        (credentials / "encryption_password_previous").unlink()
        await house.stop("chunk-processor")
        await house.start("chunk-processor")
        for index, raw in enumerate((first, b"after")):
            opened = [piece async for piece in api.stream(processor.OPEN, ChunkPath(session, 0, index))]
            assert b"".join(opened) == raw

    async def test_with_a_new_password_alone_opens_nothing_old(self, house: Deployment) -> None:
        await house.start("session-storage", "chunk-processor")
        recorder, api = await house.client("session-recorder"), await house.client("session-api")
        session = str(uuid.uuid4())
        await api.call(processor.CREATE_KEY, SessionPath(session))
        await send(recorder, ChunkPath(session, 0, 0), b"old", os.urandom(32))
        credentials = house.directory / "credentials/chunk-processor"
        await asyncio.to_thread(_rotate, credentials)
        (credentials / "encryption_password_previous").unlink()
        await house.stop("chunk-processor")
        await house.start("chunk-processor")
        with pytest.raises(LucidError):
            await anext(api.stream(processor.OPEN, ChunkPath(session, 0, 0)))


def _rotate(credentials: Path) -> None:
    """The old password becomes the previous one."""
    password = credentials / "encryption_password"
    (credentials / "encryption_password_previous").write_bytes(password.read_bytes())
    password.write_text(secrets.token_hex(32) + "\n")
