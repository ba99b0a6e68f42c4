"""Fixtures of the fault tests."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from lucid.dev.processes import Processes
from tests.deployment import Deployment, deployment
from tests.faults.databases import Databases
from tests.faults.hosts import Hosts
from tests.sessions.screens import Screen, screens

FAST = {"BLOCK_TIME_SECONDS": "0.3", "ANCHOR_INTERVAL_SECONDS": "1", "ANCHOR_POLL_SECONDS": "0.1"}


@pytest.fixture
async def house(tmp_path: Path, mongodb_url: str, redis_url: str) -> AsyncIterator[Deployment]:
    """Services in this process, on empty databases; each test starts the ones that it needs."""
    async with deployment(tmp_path, mongodb_url, redis_url, **FAST) as made:
        yield made


@pytest.fixture
def hosts(house: Deployment, processes: Processes) -> Iterator[Hosts]:
    """Services of the house as processes of their own, to be killed, traced and weighed."""
    running = Hosts(house, processes)
    yield running
    running.stop()


@pytest.fixture
def databases(processes: Processes, tmp_path: Path) -> Iterator[Databases]:
    """A MongoDB and a Redis that a test may kill."""
    made = Databases(processes, tmp_path / "databases")
    yield made
    made.stop()


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Screen]:
    """An X server with a small screen."""
    with screens(tmp_path) as start:
        yield start("640x480")
