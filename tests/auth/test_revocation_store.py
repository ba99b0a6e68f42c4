"""Ends of logins in a real MongoDB: numbered so that no reader misses one."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from lucid.auth import clock, revocation_store
from lucid.auth.revocation_store import RevocationLog
from lucid.auth.tokens import LONGEST_ACCESS_SECONDS
from lucid.kit import mongo


class Writer:
    """One of several auth-services."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self.log = RevocationLog(client[name])

    async def end(self, *sessions: str) -> None:
        async def write(transaction: Any) -> None:
            await self.log.add(sessions, clock.now(), transaction)

        async with self._client.start_session() as session:
            await session.with_transaction(write)


@pytest.fixture
async def writers(mongodb_url: str, database_name: str) -> AsyncIterator[Sequence[Writer]]:
    clients = [mongo.connect(mongodb_url) for _ in range(2)]
    made = [Writer(client, database_name) for client in clients]
    await asyncio.gather(*(writer.log.prepare() for writer in made))
    yield made
    for client in clients:
        await client.close()


async def test_an_end_is_kept_for_as_long_as_any_token_may_hold(writers: Sequence[Writer]) -> None:
    await writers[0].end("a")
    (end,) = (await writers[0].log.after(0)).revocations
    assert end.expires - time.time() > LONGEST_ACCESS_SECONDS


async def test_numbers_are_given_in_order_and_without_a_gap(writers: Sequence[Writer]) -> None:
    await writers[0].end("a", "b")
    await writers[1].end()
    await writers[1].end("c")
    page = await writers[0].log.after(0)
    assert [(r.number, r.session) for r in page.revocations] == [(1, "a"), (2, "b"), (3, "c")]
    assert page.last == 3
    assert (await writers[0].log.after(3)).revocations == ()


async def test_a_reader_beside_two_writers_misses_nothing(writers: Sequence[Writer]) -> None:
    seen: list[str] = []
    numbers: list[int] = []
    done = asyncio.Event()

    async def read() -> None:
        cursor = 0
        while True:
            last_round = done.is_set()
            page = await writers[0].log.after(cursor)
            seen.extend(r.session for r in page.revocations)
            numbers.extend(r.number for r in page.revocations)
            cursor = page.revocations[-1].number if page.revocations else cursor
            if last_round and not page.revocations:
                return

    async def write(writer: Writer, name: str) -> None:
        for i in range(25):
            await writer.end(f"{name}{i}")

    reader = asyncio.create_task(read())
    await asyncio.gather(*(write(writer, f"w{n}-") for n, writer in enumerate([*writers, *writers])))
    done.set()
    await reader
    assert sorted(seen) == sorted(f"w{n}-{i}" for n in range(4) for i in range(25))
    assert numbers == list(range(1, 101))


async def test_what_is_many_comes_in_pages(
    writers: Sequence[Writer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocation_store, "PAGE", 2)
    await writers[0].end("a", "b", "c")
    first = await writers[0].log.after(0)
    assert [r.session for r in first.revocations] == ["a", "b"]
    assert [r.session for r in (await writers[0].log.after(2)).revocations] == ["c"]


async def test_an_aborted_end_takes_no_number(writers: Sequence[Writer]) -> None:
    async with writers[0]._client.start_session() as session:
        await session.start_transaction()
        await writers[0].log.add(["never"], clock.now(), session)
        await session.abort_transaction()
    await writers[0].end("a")
    page = await writers[0].log.after(0)
    assert [(r.number, r.session) for r in page.revocations] == [(1, "a")]
