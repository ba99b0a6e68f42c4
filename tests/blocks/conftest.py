"""A chain on a real MongoDB, with a clock that tests move by hand."""

from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from lucid.blocks.chain import Chain, Plan, open_chain
from lucid.blocks.store import Store
from lucid.blocks.validator import Validator
from lucid.kit import mongo
from lucid.kit.mongo import Database
from tests.blocks.world import ORIGIN, START_MS, seed

BLOCK_MS = 1000
HEARTBEAT_MS = 60_000


class Clock:
    """Milliseconds since the epoch, as told: `now` in truth, and as set wrong by `ahead_ms`."""

    def __init__(self) -> None:
        self.now = START_MS
        self.ahead_ms = 0

    def __call__(self) -> int:
        return self.now + self.ahead_ms

    def steady(self) -> int:
        return self.now

    def next_slot(self) -> None:
        self.now += BLOCK_MS


OpenChain = Callable[..., Coroutine[Any, Any, Chain]]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def database(mongodb_url: str, database_name: str) -> AsyncIterator[Database]:
    client = mongo.connect(mongodb_url)
    yield client[database_name]
    await client.close()


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


@pytest.fixture
def engine(database: Database, clock: Clock, tmp_path: Path) -> OpenChain:
    """Opens the chain as an engine that has just started, with nothing in memory."""

    async def start(name: str = "validator", among: tuple[str, ...] = (), memory: str = "") -> Chain:
        among = among or (name,)
        validators = {each: Validator(each, seed(each), tmp_path / (memory or each)) for each in among}
        known = tuple(validators[each].cosigner for each in among)
        plan = Plan(ORIGIN, BLOCK_MS, known, HEARTBEAT_MS)
        return await open_chain(Store(database), validators[name], plan, clock, clock.steady)

    return start
