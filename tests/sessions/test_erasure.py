"""An erasure that is killed after any of its steps is brought to its end by whoever comes next."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lucid.contracts import session_anchoring as anchoring
from lucid.kit import mongo
from lucid.kit.client import ServiceClient
from lucid.kit.mongo import Document
from lucid.kit.settings import Secret
from lucid.sessions.erasure import Eraser
from lucid.sessions.life_store import LifeStore
from lucid.sessions.retention import DAY_MS
from lucid.sessions.signer import Signer
from tests.deployment import Deployment, deployment
from tests.sessions.kept import keep, key_record, rewrite
from tests.sessions.people import Person, person
from tests.sessions.waiting import until

STEPS = 7
"""Calls and writes of an erasure: key, files, note, anchors, tombstone kept and sent, anchors again."""


class Killed(BaseException):
    """The process is gone: nothing that it would have done next is done."""


@dataclass
class Counted:
    """A client or store whose process dies right after its `lives`th deed has taken effect."""

    real: Any
    deeds: list[str] = field(default_factory=list)
    lives: int = 1000

    def __getattr__(self, name: str) -> Any:
        async def deed(*args: Any, **options: Any) -> Any:
            result = await getattr(self.real, name)(*args, **options)
            self.deeds.append(name)
            if len(self.deeds) == self.lives:
                raise Killed
            return result

        return deed


@pytest.fixture
async def house(tmp_path: Path, mongodb_url: str, redis_url: str) -> AsyncIterator[Deployment]:
    settings = {"BLOCK_TIME_SECONDS": "0.1", "ANCHOR_POLL_SECONDS": "0.05"}
    async with deployment(tmp_path, mongodb_url, redis_url, **settings) as made:
        await made.start("auth-service", "blockchain-engine", "session-anchoring")
        await made.start("session-storage", "chunk-processor", "session-api")
        yield made


@pytest.fixture
async def alice(house: Deployment) -> Person:
    return await person(house, "alice")


@pytest.fixture
async def store(house: Deployment) -> AsyncIterator[LifeStore]:
    async with mongo.connect(house.stores["MONGODB_URL"]) as client:
        yield LifeStore(client.get_database("lucid_sessions", codec_options=mongo.CODEC_OPTIONS))


@pytest.fixture
async def signer(house: Deployment, tmp_path: Path) -> Signer:
    seed = Secret((house.directory / "credentials/session-api/closing_key").read_bytes())
    made = Signer(seed, "closer", "host", house.directory / "state/session-api")
    await made.register(await house.client("session-api"))
    return made


def eraser(store: Any, client: Any, signer: Signer) -> Eraser:
    return Eraser(store=store, client=client, signer=signer, interval_seconds=60, backup_days=30)


async def found(store: LifeStore, session: str) -> list[Document]:
    return [record for record in await store.erasing() if record["_id"] == session]


async def test_killed_after_any_step_it_ends_with_one_tombstone(
    house: Deployment, alice: Person, store: LifeStore, signer: Signer
) -> None:
    client = await house.client("session-api")
    sessions = [await keep(house, alice) for _ in range(STEPS)]
    await house.stop("session-api")
    for lives, session in enumerate(sessions, 1):
        await store.begin_erasure(session, "request", 1)
        deeds: list[str] = []
        dying = eraser(Counted(store, deeds, lives), Counted(client, deeds, lives), signer)
        with pytest.raises(Killed):
            await advance_to_the_end(dying, store, session)
        assert len(deeds) == lives
        await advance_to_the_end(eraser(store, client, signer), store, session)
        (tombstone,) = (await client.call(anchoring.LIFE, anchoring.LifeQuery(session))).entries
        assert (tombstone.kind, tombstone.state) == ("erasure", "final")
        assert "wrapped" not in await key_record(house, session)
        assert not (house.directory / "state/session-storage/chunks" / session).exists()


async def advance_to_the_end(worker: Eraser, store: LifeStore, session: str) -> None:
    async def done() -> bool:
        for record in await found(store, session):
            await worker.advance(record)
        return not await found(store, session)

    await until(done)


async def test_a_clock_that_jumped_ahead_ends_no_sessions_time(
    house: Deployment, alice: Person, store: LifeStore, monkeypatch: pytest.MonkeyPatch, signer: Signer
) -> None:
    session = await keep(house, alice)
    await house.stop("session-api")
    client: ServiceClient = await house.client("session-api")
    worker = eraser(store, client, signer)
    with monkeypatch.context() as patch:
        jumped = time.time() + 90 * 24 * 3600
        patch.setattr(time, "time", lambda: jumped)
        patch.setattr(time, "time_ns", lambda: int(jumped * 1e9))
        await worker.expire()
    assert await found(store, session) == []
    await rewrite(house, session, ended_ms=int(time.time() * 1000) - 31 * DAY_MS)
    await worker.expire()
    assert len(await found(store, session)) == 1
