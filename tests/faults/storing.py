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
) -> int:
    """Sends chunks, each until it is acknowledged, under `kills` kills; checks that all are there, once.

    Returns how often somebody was killed while chunks were still on their way.
    """
    for name in SERVICES:
        await hosts.start(name)
    recorder = await house.client("session-recorder")
    await api.call(processor.CREATE_KEY, SessionPath(session))
    waiting = list(range(chunks))
    receipts: dict[int, bytes] = {}
    deaths = 0

    async def send() -> None:
        while waiting:
            index = waiting.pop(0)
            raw, nonce = os.urandom(rng.randrange(1, LARGEST)), os.urandom(32)
            while index not in receipts:
                try:
                    receipt = await process(recorder, session, index, raw, nonce, seconds=3)
                except LucidError:
                    await asyncio.sleep(0.1)
                    continue
                receipts[index] = receipt.leaf.encode()
            await asyncio.sleep(0.05)

    async with asyncio.timeout(60 + 10 * kills), asyncio.TaskGroup() as work:
        senders = [work.create_task(send()) for _ in range(SENDERS)]
        for _ in range(kills):
            await asyncio.sleep(rng.uniform(0.05, 0.8))
            deaths += not all(sender.done() for sender in senders)
            name = rng.choice(SERVICES)
            await hosts.kill(name)
            await hosts.start(name)
    stored = await stored_leaves(api, session)
    assert stored == [receipts[index] for index in range(chunks)]
    root = house.directory / "state/session-storage/chunks"
    for encoded in stored:
        leaf = leaves.decode(encoded)
        name = f"{leaf.index:08d}-{leaf.sealed_sha256[:16]}"
        content = (root / session / str(leaf.track) / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == leaf.sealed_sha256
    return deaths
