"""What is slow slows down what is before it: credits, the spool, then an honest end. Memory is bounded."""

import asyncio
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lucid.contracts import chunk_processor as processor
from lucid.contracts.types import SessionPath
from lucid.evidence.leaf import ChunkId
from lucid.kit.client import ServiceClient
from lucid.sessions.chunk_files import ChunkFiles
from tests.deployment import Deployment
from tests.faults.chunks import process, sealed_chunk
from tests.faults.connections import Caller
from tests.faults.disks import MIB
from tests.faults.hosts import Hosts
from tests.faults.recordings import BEHIND, STORES, begin, end_chunks_until_over, noise, proved
from tests.faults.spooled import leave_behind
from tests.sessions.screens import Screen
from tests.sessions.waiting import until

CONNECTIONS = 64
"""As many as a service opens to another."""


class SlowDisk:
    """Stands before the disk of chunks: counts who writes at once, and holds them up."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.most = 0
        self.writes = 0
        self.hung = threading.Event()
        """Set: nobody is held up any more."""
        self._now = 0
        self._lock = threading.Lock()
        self._write = ChunkFiles.write

    def write(self, files: ChunkFiles, chunk: ChunkId, digest: str, data: bytearray) -> Path:
        with self._lock:
            self._now += 1
            self.writes += 1
            self.most = max(self.most, self._now)
        try:
            self.hung.wait(self.seconds)
            return self._write(files, chunk, digest, data)
        finally:
            with self._lock:
                self._now -= 1

    def as_method(self) -> Callable[[ChunkFiles, ChunkId, str, bytearray], Path]:
        """A function, which a class binds to its instances; a bound method would stay ours."""

        def write(files: ChunkFiles, chunk: ChunkId, digest: str, data: bytearray) -> Path:
            return self.write(files, chunk, digest, data)

        return write

    @classmethod
    def install(cls, monkeypatch: pytest.MonkeyPatch, seconds: float) -> "SlowDisk":
        slow = cls(seconds)
        monkeypatch.setattr(ChunkFiles, "write", slow.as_method())
        return slow


@pytest.fixture
async def api(house: Deployment) -> ServiceClient:
    return await house.client("session-api")


@pytest.fixture
def spool(house: Deployment) -> Path:
    root = house.directory / "state/session-recorder/spool"
    root.parent.mkdir(parents=True)
    return root


async def test_a_slow_disk_is_never_given_more_at_once_than_there_are_credits(
    house: Deployment, api: ServiceClient, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = SlowDisk.install(monkeypatch, seconds=0.05)
    house.settings["PIPELINE_BUFFER_SIZE"] = "3"
    await house.start(*BEHIND, *STORES)
    sessions = await leave_behind(spool, api, sessions=4, chunks=6, size=10_000)
    await house.start("session-recorder")
    for session in sessions:
        assert (await proved(house, api, session)).count == 6
    assert slow.most == 3
    assert slow.writes == 4 * 6


async def test_a_disk_that_hangs_fills_the_spool_and_the_session_ends_honestly(
    house: Deployment, api: ServiceClient, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = SlowDisk.install(monkeypatch, seconds=25)
    house.settings["SPOOL_QUOTA_GB"] = "0.0020"
    await house.start(*BEHIND, *STORES, "session-recorder")
    await until(lambda: house.ready("session-recorder"))
    async with noise(screen):
        session = await begin(api, screen, frame_rate=30, quality="ultra")
        found = await end_chunks_until_over(api, session, screen)
    assert found.spooled_bytes <= 2_000_000
    assert (found.end_reason, found.stored) == ("quota", 0)
    assert hanging.most <= 4
    hanging.hung.set()
    manifest = await proved(house, api, session)
    assert (manifest.end_reason, manifest.count) == ("quota", found.chunks)


class TestTheMemoryOf:
    @pytest.fixture
    def weighed(self) -> Iterator[dict[str, float]]:
        """The peaks that a test found, MiB; printed at its end."""
        found: dict[str, float] = {}
        yield found
        print({name: round(mib) for name, mib in found.items()})  # noqa: T201 - the figures are wanted

    async def test_those_who_seal_and_store_is_bounded_whatever_comes_at_once(
        self, house: Deployment, hosts: Hosts, api: ServiceClient, weighed: dict[str, float]
    ) -> None:
        for name in ("session-storage", "chunk-processor"):
            await hosts.start(name)
        session, raw = str(uuid.uuid4()), os.urandom(16 * MIB)
        await api.call(processor.CREATE_KEY, SessionPath(session))
        recorder = await house.client("session-recorder")
        begin = time.monotonic()
        await asyncio.gather(
            *(process(recorder, session, n, raw, os.urandom(32), seconds=60) for n in range(16))
        )
        seconds = time.monotonic() - begin
        for name in ("session-storage", "chunk-processor"):
            weighed[name] = hosts.peak_memory(name)
        weighed["MiB/s"] = 16 * 16 / seconds
        assert weighed["session-storage"] < 256
        assert weighed["chunk-processor"] < 256

    async def test_storage_does_not_grow_with_callers_that_stall(
        self, house: Deployment, hosts: Hosts, weighed: dict[str, float]
    ) -> None:
        await hosts.start("session-storage")
        before = hosts.peak_memory("session-storage")
        chunk, context = sealed_chunk(str(uuid.uuid4()), 0, 4 * MIB), house.client_context("chunk-processor")
        callers = [
            await Caller.announce(house.ports["session-storage"], context, chunk) for _ in range(CONNECTIONS)
        ]
        sending = [asyncio.create_task(each.send(chunk.data[: 3 * MIB])) for each in callers]
        await asyncio.wait(sending, timeout=5)
        weighed["growth"] = hosts.peak_memory("session-storage") - before
        for task, each in zip(sending, callers, strict=True):
            task.cancel()
            each.cut()
        assert weighed["growth"] < 150

    async def test_the_recorder_is_bounded_however_much_is_spooled(
        self, house: Deployment, hosts: Hosts, api: ServiceClient, spool: Path, weighed: dict[str, float]
    ) -> None:
        await house.start(*BEHIND, *STORES)
        sessions = await leave_behind(spool, api, sessions=4, chunks=4, size=8 * MIB)
        await hosts.start("session-recorder")
        for session in sessions:
            await proved(house, api, session, seconds=60)
        weighed["session-recorder"] = hosts.peak_memory("session-recorder")
        assert weighed["session-recorder"] < 150
