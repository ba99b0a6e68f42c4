"""kill -9 in the middle of everything: nothing is lost, nothing is doubled, the log stays what it was."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lucid.blocks.entries import LogEntry
from lucid.contracts import blockchain_engine as chain
from lucid.contracts import session_anchoring as contract
from lucid.dev.processes import Process, Processes
from lucid.evidence import block, checkpoint, merkle
from lucid.kit.client import ServiceClient
from lucid.kit.errors import LucidError, NotFound
from lucid.kit.routes import NOTHING
from tests.blocks import service_process
from tests.blocks.world import Signer, recording, session_id
from tests.deployment import Deployment, deployment

SESSIONS, ANCHORS = 4, 8
KILLS = 2
LAST_KILL = 0.8
"""At which part of all entries the last kill comes at the latest."""
RECORDERS = [Signer(f"recorder{number}") for number in range(SESSIONS)]


class Hosts:
    """blockchain-engine and session-anchoring as processes that can be killed."""

    def __init__(self, made: Deployment, processes: Processes) -> None:
        self.made = made
        self._processes = processes
        self._running: dict[str, Process] = {}

    def start(self, name: str) -> None:
        root = str(Path(__file__).parents[2])
        self._running[name] = self._processes.start(
            name,
            [sys.executable, service_process.__file__, name, str(self.made.ports[name])],
            self.made.directory / f"{name}.log",
            self.made.environment(name) | {"PYTHONPATH": root},
        )

    async def restart(self, name: str) -> None:
        await asyncio.to_thread(self._running[name].kill)
        self.start(name)

    def stop(self) -> None:
        for process in self._running.values():
            process.kill()


@pytest.fixture
async def hosts(tmp_path: Path, mongodb_url: str, processes: Processes) -> AsyncIterator[Hosts]:
    settings = {"BLOCK_TIME_SECONDS": "0.1", "ANCHOR_POLL_SECONDS": "0.05"}
    async with deployment(tmp_path, mongodb_url, "", **settings) as made:
        running = Hosts(made, processes)
        running.start("blockchain-engine")
        running.start("session-anchoring")
        try:
            yield running
        finally:
            running.stop()


class Progress:
    """How many entries have been taken. The last of each session waits until nobody is killed any more."""

    def __init__(self) -> None:
        self.taken = 0
        self.spared = asyncio.Event()
        self._more = asyncio.Condition()

    async def count(self) -> None:
        async with self._more:
            self.taken += 1
            self._more.notify_all()

    async def reach(self, taken: int) -> None:
        async with self._more:
            await self._more.wait_for(lambda: self.taken >= taken)


def entries_of(recorder: Signer, number: int) -> list[LogEntry]:
    return [recorder.registration(), *recording(recorder, session_id(number), ANCHORS)]


async def record(client: ServiceClient, recorder: Signer, number: int, progress: Progress) -> None:
    """Hand in a session as a recorder does: in order, each until it is taken; then wait for the end."""
    entries = entries_of(recorder, number)
    for entry in entries:
        if entry is entries[-1]:
            await progress.spared.wait()
        await until_done(client, entry.data.decode(), entry.hash, wanted=("pending", "final"))
        await progress.count()
        await asyncio.sleep(0.1)
    for entry in entries:
        await until_done(client, entry.data.decode(), entry.hash, wanted=("final",))


async def until_done(client: ServiceClient, envelope: str, name: str, wanted: tuple[str, ...]) -> None:
    handed = False
    while True:
        try:
            if not handed:
                await client.call(contract.SUBMIT, NOTHING, contract.Submit(envelope), seconds=2)
                handed = True
            found = await client.call(contract.STATUS, contract.AnchorPath(name), seconds=2)
        except NotFound:
            pytest.fail(f"anchor {name} was taken and is gone")
        except LucidError:
            await asyncio.sleep(0.1)
            continue
        assert found.state != "refused", found.reason
        if found.state in wanted:
            return
        await asyncio.sleep(0.05)


@pytest.mark.timeout(100)
async def test_killed_services_lose_and_double_nothing(hosts: Hosts) -> None:
    rng = random.Random()  # noqa: S311 - moments to kill at
    client = await hosts.made.client("session-recorder")
    reader = await hosts.made.client("session-api")
    total = sum(len(entries_of(recorder, number)) for number, recorder in enumerate(RECORDERS))
    progress = Progress()
    async with asyncio.timeout(80), asyncio.TaskGroup() as work:
        for number, recorder in enumerate(RECORDERS):
            work.create_task(record(client, recorder, number, progress))
        earlier: checkpoint.Checkpoint | None = None
        for taken in sorted(rng.sample(range(1, int(LAST_KILL * total)), KILLS)):
            await progress.reach(taken)
            earlier = await newest_checkpoint(reader)
            await hosts.restart("blockchain-engine")
            await asyncio.sleep(rng.random())
            await hosts.restart("session-anchoring")
        progress.spared.set()
    assert earlier is not None
    await check_log(reader, earlier)


async def newest_checkpoint(reader: ServiceClient) -> checkpoint.Checkpoint:
    while True:
        try:
            note = b"".join([piece async for piece in reader.stream(chain.CHECKPOINT, NOTHING, seconds=5)])
        except LucidError:
            await asyncio.sleep(0.1)
            continue
        return checkpoint.parse_body(checkpoint.parse_note(note).body)


async def check_log(reader: ServiceClient, earlier: checkpoint.Checkpoint) -> None:
    """The log is exactly what was handed in, and it extends what it was before it was killed."""
    handed = {
        entry.hash: entry.data
        for number, recorder in enumerate(RECORDERS)
        for entry in entries_of(recorder, number)
    }
    evidence = await reader.call(chain.EVIDENCE, NOTHING, chain.EvidenceQuery(tuple(handed)))
    header = block.decode(evidence.header.encode())
    assert header.log_size == 1 + len(handed)
    assert [item.index for item in evidence.entries] == list(range(1, header.log_size))
    assert {item.envelope.encode() for item in evidence.entries} == set(handed.values())
    first = block.decode(evidence.genesis.encode())
    leaves = [bytes.fromhex(first.log_root)]
    leaves += [merkle.leaf_hash(item.envelope.encode()) for item in evidence.entries]
    assert merkle.root(leaves).hex() == header.log_root
    assert merkle.root(leaves[: earlier.size]) == earlier.root
    heights: list[int] = []
    before = None
    while not heights or heights[-1]:
        page = await reader.call(chain.BLOCKS, chain.BlocksQuery(limit=100, before=before))
        heights += [each.height for each in page.blocks]
        assert {each.state for each in page.blocks} == {"final"}
        before = heights[-1]
    assert heights == list(range(heights[0], -1, -1))
