"""kill -9 at random moments over hundreds of recordings and tens of thousands of chunks."""

import uuid
from pathlib import Path

import pytest

from lucid.dev.processes import Processes
from tests.cli.command import RunningStack
from tests.deployment import deployment
from tests.faults.hosts import Hosts
from tests.faults.kills import record_and_kill
from tests.faults.seeds import seeded
from tests.faults.storing import store_and_kill

pytestmark = [pytest.mark.soak, pytest.mark.timeout(0)]


@pytest.mark.stack
def test_hundreds_of_recordings(stack: RunningStack, tmp_path: Path, rounds: int) -> None:
    rng = seeded("soak: kills of the whole stack")
    for number in range(rounds):
        victims = record_and_kill(stack, rng, tmp_path, recordings=3, kills=rng.randrange(3, 9))
        print(f"round {number + 1} of {rounds}: {', '.join(victims)}")  # noqa: T201 - progress


async def test_tens_of_thousands_of_chunks(
    tmp_path: Path, mongodb_url: str, redis_url: str, processes: Processes, rounds: int
) -> None:
    rng = seeded("soak: kills between uploads")
    async with deployment(tmp_path, mongodb_url, redis_url) as house:
        api = await house.client("session-api")
        for number in range(rounds):
            hosts, session = Hosts(house, processes), str(uuid.uuid4())
            try:
                kills = rng.randrange(4, 20)
                await store_and_kill(house, hosts, api, rng, session=session, chunks=300, kills=kills)
            finally:
                hosts.stop()
            print(f"round {number + 1} of {rounds}: {kills} kills")  # noqa: T201 - progress
