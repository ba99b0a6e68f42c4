"""How long somebody waits for a desktop: from asking for it to seeing its terminal in an RDP client."""

import asyncio
import statistics
import time

from lab import person
from lab.workplace import TERMINAL, Workplace

TIMES = 5


async def usable(workplace: Workplace) -> dict[str, object]:
    """Seconds until the recording is proven, and until the terminal is on the client's screen."""
    policy = await workplace.policy("usable")
    opened, seen = [], []
    for _ in range(TIMES):
        with person.seated() as somebody:
            begin = time.monotonic()
            connection = await workplace.open(policy, "usable")
            opened.append(round(time.monotonic() - begin, 2))
            with person.connected(somebody, connection):
                await asyncio.to_thread(somebody.wait_for, *TERMINAL)
                seen.append(round(time.monotonic() - begin, 2))
        await workplace.end(connection.session.id)
        await workplace.until(connection.session.id, "ended")
    return {"median": statistics.median(seen), "opened": opened, "seen": seen}
