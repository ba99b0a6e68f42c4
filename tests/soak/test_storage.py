"""session-storage over ten thousand chunks of one session: its memory and its time per chunk stay flat."""

import asyncio
import statistics
import time
import uuid
from pathlib import Path

import pytest

from lucid.dev.processes import Processes
from lucid.kit.client import ServiceClient
from tests.deployment import deployment
from tests.faults.chunks import SealedChunk, sealed_chunk, store, stored_leaves
from tests.faults.hosts import Hosts

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]

CHUNKS = 10_000
STRETCH = 1000
AT_ONCE = 8
SIZE = 4096
MOST_GROWTH_MIB = 16.0
"""Of the peak of resident memory, from the first thousand chunks to the last."""
MOST_SLOWDOWN = 1.5
"""Of the best of three median times; the disk is shared with whatever else this machine does."""


async def test_ten_thousand_chunks(
    tmp_path: Path, mongodb_url: str, redis_url: str, processes: Processes
) -> None:
    medians, peaks = [], []
    async with deployment(tmp_path, mongodb_url, redis_url) as house:
        hosts, session = Hosts(house, processes), str(uuid.uuid4())
        try:
            await hosts.start("session-storage")
            processor, api = await house.client("chunk-processor"), await house.client("session-api")
            for first in range(0, CHUNKS, STRETCH):
                chunks = [sealed_chunk(session, first + number, SIZE) for number in range(STRETCH)]
                taken = await stored(processor, chunks)
                begin = time.perf_counter()
                count = len(await stored_leaves(api, session))
                listed = time.perf_counter() - begin
                assert count == first + STRETCH
                medians.append(statistics.median(taken) * 1000)
                peaks.append(hosts.peak_memory("session-storage"))
                print(  # noqa: T201 - progress, and the figures themselves
                    f"{count:6} chunks: median {medians[-1]:.2f} ms, 95 % within {quantile(taken):.2f} ms, "
                    f"peak {peaks[-1]:.1f} MiB; all leaves in {listed:.2f} s"
                )
        finally:
            hosts.stop()
    assert peaks[-1] - peaks[0] <= MOST_GROWTH_MIB
    assert min(medians[-3:]) <= min(medians[:3]) * MOST_SLOWDOWN


async def stored(client: ServiceClient, chunks: list[SealedChunk]) -> list[float]:
    """Has all of them kept, a few at once; returns the seconds that each took."""
    waiting, taken = iter(chunks), list[float]()

    async def send() -> None:
        for chunk in waiting:
            begin = time.perf_counter()
            assert not (await store(client, chunk)).duplicate
            taken.append(time.perf_counter() - begin)

    async with asyncio.TaskGroup() as senders:
        for _ in range(AT_ONCE):
            senders.create_task(send())
    return taken


def quantile(taken: list[float]) -> float:
    """95 % of them are within this, in ms."""
    return statistics.quantiles(taken, n=20)[-1] * 1000
