"""Uploads by many at once while chunk-processor and session-storage are killed."""

import asyncio
import hashlib
import os
import random

from lucid.contracts import chunk_processor as processor
from lucid.contracts.types import SessionPath
from lucid.evidence import leaf as leaves
from lucid.kit.client import ServiceClient
from lucid.kit.errors import LucidError
from tests.deployment import Deployment
from tests.faults.chunks import process, stored_leaves
from tests.faults.hosts import Hosts

SERVICES = ("session-storage", "chunk-processor")
SENDERS = 4
LARGEST = 1_500_000


async def store_and_kill(
    house: Deployment,
    hosts: Hosts,
    api: ServiceClient,
    rng: random.Random,
    *,
    session: str,
    chunks: int,
    kills: int,
) -> None:
    """Sends chunks, each until it is acknowledged, under `kills` kills; checks that all are there, once.

    The chunks are handed out in stretches, and somebody dies within each stretch but the last, so that a kill
    meets chunks on their way, however fast the machine is.
    """
    for name in SERVICES:
        await hosts.start(name)
    recorder = await house.client("session-recorder")
    await api.call(processor.CREATE_KEY, SessionPath(session))
    waiting: asyncio.Queue[int | None] = asyncio.Queue()
    receipts: dict[int, bytes] = {}

    async def send() -> None:
        while (index := await waiting.get()) is not None:
            raw, nonce = os.urandom(rng.randrange(1, LARGEST)), os.urandom(32)
            while index not in receipts:
                try:
                    receipt = await process(recorder, session, index, raw, nonce, seconds=3)
                except LucidError:
                    await asyncio.sleep(0.1)
                    continue
                receipts[index] = receipt.leaf.encode()

    async with asyncio.timeout(60 + 10 * kills), asyncio.TaskGroup() as work:
        for _ in range(SENDERS):
            work.create_task(send())
        handed = 0
        for number in range(1, kills + 1):
            stretch, start = range(handed, chunks * number // (kills + 1)), len(receipts)
            for index in stretch:
                waiting.put_nowait(index)
            handed = stretch.stop
            moment = rng.randrange(start, handed)
            while len(receipts) < moment:
                await asyncio.sleep(rng.uniform(0.001, 0.02))
            name = rng.choice(SERVICES)
            await hosts.kill(name)
            await hosts.start(name)
        for remaining in (*range(handed, chunks), *[None] * SENDERS):
            waiting.put_nowait(remaining)
    stored = await stored_leaves(api, session)
    assert stored == [receipts[index] for index in range(chunks)]
    root = house.directory / "state/session-storage/chunks"
    for encoded in stored:
        leaf = leaves.decode(encoded)
        name = f"{leaf.index:08d}-{leaf.sealed_sha256[:16]}"
        content = (root / session / str(leaf.track) / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == leaf.sealed_sha256
