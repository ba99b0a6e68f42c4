"""Everything behind the front door may be restarted while people use it. The long run is in tests/soak."""

import asyncio
from pathlib import Path

import pytest

from lucid.dev.processes import Processes
from tests.faults.seeds import seeded
from tests.gateway.restless import restless

pytestmark = pytest.mark.quiet


@pytest.mark.timeout(180)
async def test_restarts_and_a_failover_of_redis_are_noticed_by_nobody(
    mongodb_url: str, tmp_path: Path, processes: Processes
) -> None:
    rng = seeded("restarts of the front door")
    async with restless(tmp_path, mongodb_url, processes, rng) as door:
        async with door.callers.during("nothing happens"):
            await asyncio.sleep(1)
        for gateway, auth in zip(door.gateways, door.auths, strict=True):
            async with door.callers.during(f"{gateway.name} and {auth.name} restart"):
                await asyncio.gather(gateway.restart(), auth.restart())
        async with door.callers.during("Redis fails over"):
            await door.fail_over()
        async with door.callers.during("nothing happens any more"):
            await asyncio.sleep(1)
    print(*door.callers.phases, sep="\n")  # noqa: T201 - the counts themselves
    assert all(phase.answers["right"] for phase in door.callers.phases)
    assert not [str(phase) for phase in door.callers.phases if phase.errors]
