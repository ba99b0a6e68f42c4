"""Scenario of desks.py: a client that nobody sits at."""

import asyncio
import time

from lab import person
from lab.workplace import Workplace
from tests.site.desk_host import ended, verified

IDLE_SECONDS = 60
TURNS, TURN_SECONDS = 9, 10.0
"""Together longer than that."""


async def idle(workplace: Workplace) -> dict[str, object]:
    """Who does something stays, who does nothing is cut off in the policy's time; the desktop lives on."""
    policy = await workplace.policy("idle", idle_seconds=IDLE_SECONDS)
    connection = await workplace.open(policy, "idle")
    session = connection.session.id
    with person.seated() as somebody:
        with person.connected(somebody, connection):
            await workplace.until(session, "connected")
            await asyncio.sleep(2)
            for turn in range(TURNS):
                if turn % 2:
                    await asyncio.to_thread(somebody.type, "a")
                else:
                    await asyncio.to_thread(somebody.click, 400 + turn, 300)
                await asyncio.sleep(TURN_SECONDS)
                assert (await workplace.desktop(session)).state == "connected", f"cut off at turn {turn}"
            last = time.monotonic() - TURN_SECONDS
            await workplace.until(session, "disconnected", seconds=2 * IDLE_SECONDS)
            idle_for = time.monotonic() - last
        assert (await workplace.recording(session)).state == "recording"
        with person.connected(somebody, await workplace.again(session)):
            await workplace.until(session, "connected")
    await ended(workplace, connection)
    report = await verified(workplace, session)
    assert report.manifest is not None
    return {"idle_for": idle_for, "gaps": [gap.cause for gap in report.manifest.gaps]}
