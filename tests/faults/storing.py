"""Uploads by many at once while chunk-processor and session-storage are killed."""

import asyncio
import hashlib
import os
import random
from collections.abc import Iterable

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


class Uploads:
    """Chunks on their way to storage, and what was acknowledged of them."""

    def __init__(self, recorder: ServiceClient, session: str, rng: random.Random) -> None:
        self.receipts: dict[int, bytes] = {}
        """The leaf of each acknowledged chunk, by index."""
        self._recorder = recorder
        self._session = session
        self._rng = rng
        self._waiting: asyncio.Queue[int | None] = asyncio.Queue()
        self._one_more = asyncio.Condition()

    def hand_out(self, indexes: Iterable[int | None]) -> None:
        """Gives the senders more to do; None sends one of them home."""
        for index in indexes:
            self._waiting.put_nowait(index)

    async def send(self) -> None:
        """One sender: a chunk after the other, each until it is acknowledged."""
        while (index := await self._waiting.get()) is not None:
            raw, nonce = os.urandom(self._rng.randrange(1, LARGEST)), os.urandom(32)
            while index not in self.receipts:
                try:
                    receipt = await process(self._recorder, self._session, index, raw, nonce, seconds=3)
                except LucidError:
                    await asyncio.sleep(0.1)
                    continue
                self.receipts[index] = receipt.leaf.encode()
            async with self._one_more:
                self._one_more.notify_all()

    async def acknowledged(self, number: int) -> None:
        """Waits until so many have been."""
        async with self._one_more:
            await self._one_more.wait_for(lambda: len(self.receipts) >= number)


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
    uploads = Uploads(await house.client("session-recorder"), session, rng)
    await api.call(processor.CREATE_KEY, SessionPath(session))
    async with asyncio.timeout(60 + 10 * kills), asyncio.TaskGroup() as work:
        for _ in range(SENDERS):
            work.create_task(uploads.send())
        handed = 0
        for number in range(1, kills + 1):
            stretch = range(handed, chunks * number // (kills + 1))
            moment = rng.randrange(len(uploads.receipts), stretch.stop)
            uploads.hand_out(stretch)
            handed = stretch.stop
            await uploads.acknowledged(moment)
            name = rng.choice(SERVICES)
            await hosts.kill(name)
            await hosts.start(name)
        uploads.hand_out([*range(handed, chunks), *[None] * SENDERS])
    stored = await stored_leaves(api, session)
    assert stored == [uploads.receipts[index] for index in range(chunks)]
    root = house.directory / "state/session-storage/chunks"
    for encoded in stored:
        leaf = leaves.decode(encoded)
        name = f"{leaf.index:08d}-{leaf.sealed_sha256[:16]}"
        content = (root / session / str(leaf.track) / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == leaf.sealed_sha256
