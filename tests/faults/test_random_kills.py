"""kill -9 at random moments: what was acknowledged is kept, once, and every recording comes to its end."""

import uuid
from pathlib import Path

import pytest

from lucid.kit.client import ServiceClient
from tests.cli.command import RunningStack
from tests.deployment import Deployment
from tests.faults.hosts import Hosts
from tests.faults.kills import record_and_kill
from tests.faults.seeds import seeded
from tests.faults.storing import store_and_kill

RECORDINGS, KILLS = 3, 5


@pytest.mark.stack
@pytest.mark.timeout(300)
def test_recordings_survive_the_death_of_anybody_at_any_moment(stack: RunningStack, tmp_path: Path) -> None:
    rng = seeded("kills of the whole stack")
    victims = record_and_kill(stack, rng, tmp_path, recordings=RECORDINGS, kills=KILLS)
    assert len(victims) == KILLS


async def test_uploads_survive_the_death_of_those_who_seal_and_store(house: Deployment, hosts: Hosts) -> None:
    api: ServiceClient = await house.client("session-api")
    rng = seeded("kills between uploads")
    await store_and_kill(house, hosts, api, rng, session=str(uuid.uuid4()), chunks=60, kills=3)
