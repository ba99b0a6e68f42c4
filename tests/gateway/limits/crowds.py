"""Starts crowds in processes of their own and counts what they were admitted."""

import asyncio
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from tests.gateway.limits.crowd import Crowd

ROOT = Path(__file__).parents[3]


@asynccontextmanager
async def _process() -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.gateway.limits.crowd", stdin=PIPE, stdout=PIPE, cwd=ROOT
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def admitted_in(processes: int, crowd: Crowd) -> list[int]:
    """What each of so many processes with such a crowd was admitted, all at the same time."""
    async with AsyncExitStack() as running:
        started = [await running.enter_async_context(_process()) for _ in range(processes)]
        for each in started:
            assert each.stdout is not None
            assert await each.stdout.readline() == b"ready\n"
        line = msgspec.json.encode(crowd) + b"\n"
        outputs = await asyncio.gather(*(each.communicate(line) for each in started))
    counts = [re.search(rb"^admitted (\d+)$", output, re.MULTILINE) for output, _ in outputs]
    assert all(counts), outputs
    return [int(count[1]) for count in counts if count]
