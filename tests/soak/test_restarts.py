"""Gateways, auth-service and Redis restarted, killed and kept away at random while people use the front door.

Nobody is given a wrong answer: no 401 for a good token, nothing for one that is not, no request done twice.
How many get no answer is printed; those of planned restarts and of a failover of Redis get one, all of them.
"""

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest

from lucid.dev.processes import Processes
from tests.faults.seeds import seeded
from tests.gateway.restless import Door, restless

pytestmark = [pytest.mark.soak, pytest.mark.timeout(0)]

AWAY_SECONDS = 5.0
WHOLE_SECONDS = 60.0
PLANNED = ("restart", "failover")


async def test_nobody_is_ever_given_a_wrong_answer(
    mongodb_url: str, tmp_path: Path, processes: Processes, rounds: int
) -> None:
    rng = seeded("soak: restarts of the front door")
    async with restless(tmp_path, mongodb_url, processes, rng) as door:
        for number in range(rounds):
            kind = rng.choice(("restart", "restart", "kill", "kill", "away", "failover"))
            async with door.callers.during(kind) as phase:
                await happen(door, kind, rng)
            print(f"{number + 1} of {rounds}: {phase}")  # noqa: T201 - the counts themselves
            assert phase.answers["right"]
            assert not door.callers.wrong
            await whole_again(door)
            await door.renew()
        totals = Counter[str]()
        for phase in door.callers.phases:
            totals += phase.answers
        print(f"in all: {dict(totals)}")  # noqa: T201 - the counts themselves
        assert not [str(phase) for phase in door.callers.phases if phase.name in PLANNED and phase.errors]


async def whole_again(door: Door) -> None:
    """Returns after a second without errors: who was away long is given a rest by circuit breakers."""
    async with asyncio.timeout(WHOLE_SECONDS):
        while True:
            async with door.callers.during("rest") as phase:
                await asyncio.sleep(1)
            if phase.answers["right"] and not phase.errors:
                return


async def happen(door: Door, kind: str, rng: random.Random) -> None:
    """One of the things that may befall the front door; it is whole again in the end."""
    unit = rng.choice([*door.gateways, *door.auths])
    if kind == "restart":
        await unit.restart()
    elif kind == "kill":
        await unit.kill()
        await asyncio.sleep(rng.uniform(0, 1))
        await unit.start()
    elif kind == "away":
        await asyncio.gather(*(auth.kill() for auth in door.auths))
        await rng.choice(door.gateways).restart()
        await asyncio.sleep(rng.uniform(0, AWAY_SECONDS))
        await asyncio.gather(*(auth.start() for auth in door.auths))
    else:
        await door.bring_back(await door.fail_over())
