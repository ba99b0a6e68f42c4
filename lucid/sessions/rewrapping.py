"""Rotation of the password: session keys are wrapped anew in the background while sessions run.

Chunks are never encrypted again, since their keys follow from session keys, which stay the same. See
`docs/decisions/erasure.md`.
"""

import asyncio

from lucid.kit.logs import log
from lucid.sessions import metrics
from lucid.sessions.processor_store import SessionKeys

PAUSE_SECONDS = 0.05
"""Between two batches: sealing goes first."""
LOOK_SECONDS = 60.0
"""How often keys are counted, and looked for that a process with the old password made meanwhile."""


async def rewrap(keys: SessionKeys) -> None:
    """Wraps what is still under the previous password under the current one, for ever."""
    await keys.prepare()
    while True:
        wrapped = 0
        while batch := await keys.rewrap():
            wrapped += batch
            metrics.keys_rewrapped_total.inc(batch)
            await measure(keys)
            await asyncio.sleep(PAUSE_SECONDS)
        if wrapped:
            log.info("no key is wrapped under the previous password any more", rewrapped=wrapped)
        counts = await measure(keys)
        if counts["unknown"]:
            log.error("keys are wrapped under a password that was not given", keys=counts["unknown"])
        await asyncio.sleep(LOOK_SECONDS)


async def measure(keys: SessionKeys) -> dict[str, int]:
    """Shows how far the rotation is; returns the counts."""
    counts = await keys.counts()
    for kek, count in counts.items():
        metrics.session_keys.labels(kek).set(count)
    return counts
