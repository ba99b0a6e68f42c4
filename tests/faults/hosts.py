"""Services of a deployment as processes of their own: gunicorn, one worker, on the deployment's ports."""

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from lucid.dev.processes import Process, Processes
from lucid.kit.errors import LucidError
from tests.blocks import service_process
from tests.deployment import Deployment

ROOT = Path(__file__).parents[2]
START_SECONDS = 30.0


class Hosts:
    """`start`, `kill` and `peak_memory` by a service's name."""

    def __init__(self, house: Deployment, processes: Processes) -> None:
        self._house = house
        self._processes = processes
        self._running: dict[str, Process] = {}

    async def start(self, name: str, *, under: Sequence[str] = ()) -> None:
        """Starts a service, `under` another program if given, and returns once it is ready."""
        command = [sys.executable, service_process.__file__, name, str(self._house.ports[name])]
        environment = self._house.environment(name) | {"PYTHONPATH": str(ROOT)}
        log = self._house.directory / f"{name}.log"
        process = self._processes.start(name, [*under, *command], log, environment)
        self._running[name] = process
        until = time.monotonic() + START_SECONDS
        while not await self._ready(name):
            assert process.status is None, process.last_words(20)
            assert time.monotonic() < until, process.last_words(20)
            await asyncio.sleep(0.1)

    async def kill(self, name: str) -> None:
        """kill -9, to the whole group."""
        await asyncio.to_thread(self._running.pop(name).kill)

    def peak_memory(self, name: str) -> float:
        """The most resident memory that the service's worker has ever had, MiB (proc(5), VmHWM)."""
        return _peak(self.worker(name))

    def worker(self, name: str) -> int:
        """Process id of the service's worker."""
        pid = self._running[name].pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        return int(children[0])

    def stop(self) -> None:
        """Kills what runs."""
        for process in self._running.values():
            process.kill()

    async def _ready(self, name: str) -> bool:
        try:
            return await self._house.ready(name)
        except (LucidError, aiohttp.ClientError):
            return False


def _peak(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise LookupError(f"process {pid} has no VmHWM")
