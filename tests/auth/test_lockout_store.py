"""Counters of failures in a real MongoDB."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from lucid.auth import clock
from lucid.auth.lockout import BUSY_SECONDS, FAILURES, SECONDS, account_key, client_key
from lucid.auth.lockout_store import Lockouts
from lucid.kit import mongo


@pytest.fixture
async def database(mongodb_url: str, database_name: str) -> AsyncIterator[Any]:
    client = mongo.connect(mongodb_url)
    yield client[database_name]
    await client.close()


@pytest.fixture
async def lockouts(database: Any) -> Lockouts:
    store = Lockouts(database)
    await store.prepare()
    return store


async def failures(store: Lockouts, number: int, key: str = "k") -> list[bool]:
    found = []
    for _ in range(number):
        assert await store.begin(key) == 0
        found.append(await store.fail(key))
    return found


async def test_the_fifth_failure_locks_for_fifteen_minutes(lockouts: Lockouts) -> None:
    assert await failures(lockouts, FAILURES) == [False] * 4 + [True]
    assert SECONDS - 5 <= await lockouts.begin("k") <= SECONDS
    assert await lockouts.begin("another") == 0


async def test_no_more_than_five_are_under_way_at_once_whoever_counts(
    lockouts: Lockouts, database: Any
) -> None:
    stores = [lockouts, Lockouts(database)]
    begun = await asyncio.gather(*(stores[i % 2].begin("k") for i in range(40)))
    assert begun.count(0) == FAILURES
    assert begun.count(BUSY_SECONDS) == 40 - FAILURES
    await asyncio.gather(*(lockouts.fail("k") for _ in range(FAILURES)))
    assert await lockouts.begin("k") > BUSY_SECONDS


async def test_what_shows_nothing_is_given_back(lockouts: Lockouts) -> None:
    for _ in range(3 * FAILURES):
        assert await lockouts.begin("k") == 0
        await lockouts.release("k")
    assert await failures(lockouts, FAILURES) == [False] * 4 + [True]


async def test_who_has_come_starts_anew(lockouts: Lockouts) -> None:
    await failures(lockouts, FAILURES - 1)
    assert await lockouts.begin("k") == 0
    await lockouts.clear("k")
    assert await failures(lockouts, FAILURES) == [False] * 4 + [True]


async def test_a_lock_ends_by_itself_though_nobody_has_removed_it(lockouts: Lockouts, database: Any) -> None:
    await failures(lockouts, FAILURES)
    past = clock.now() - timedelta(seconds=1)
    await database["lockouts"].update_one({"_id": "k"}, {"$set": {"expires": past}})
    assert await failures(lockouts, FAILURES) == [False] * 4 + [True]


async def test_being_refused_does_not_lengthen_the_lock(lockouts: Lockouts, database: Any) -> None:
    await failures(lockouts, FAILURES)
    before = await database["lockouts"].find_one({"_id": "k"})
    await lockouts.begin("k")
    after = await database["lockouts"].find_one({"_id": "k"})
    assert (before["expires"], before["failures"]) == (after["expires"], after["failures"])


async def test_mongodb_removes_counters_that_have_expired(lockouts: Lockouts, database: Any) -> None:
    indexes = await database["lockouts"].index_information()
    assert indexes["expires_1"]["expireAfterSeconds"] == 0


def test_a_counter_does_not_show_what_was_typed() -> None:
    assert "anna" not in account_key("anna@example.org")
    assert account_key("a") != client_key("a")
