"""A MongoDB and a Redis of a test's own: to be killed, hung, and started again on the same files."""

import asyncio
import os
import signal
from pathlib import Path

from lucid.dev import servers
from lucid.dev.processes import Process, Processes


class Databases:
    """Both run from the start."""

    def __init__(self, processes: Processes, directory: Path) -> None:
        self._processes = processes
        self._directory = directory
        self._mongodb_port, self._redis_port = servers.free_port(), servers.free_port()
        self._mongodb = self._start_mongodb()
        self._redis = self._start_redis()

    @property
    def mongodb_url(self) -> str:
        return servers.mongodb_url(self._mongodb_port)

    @property
    def redis_url(self) -> str:
        return servers.redis_url(self._redis_port)

    async def kill_mongodb(self) -> None:
        """kill -9."""
        await asyncio.to_thread(self._mongodb.kill)

    async def restart_mongodb(self) -> None:
        """On the same files; returns when it takes writes."""
        self._mongodb = await asyncio.to_thread(self._start_mongodb)

    def hang_mongodb(self) -> None:
        """Its connections stay open and nothing is answered."""
        os.kill(self._mongodb.pid, signal.SIGSTOP)

    def wake_mongodb(self) -> None:
        """It goes on as if nothing had been."""
        os.kill(self._mongodb.pid, signal.SIGCONT)

    async def kill_redis(self) -> None:
        """kill -9."""
        await asyncio.to_thread(self._redis.kill)

    async def restart_redis(self) -> None:
        """Returns when it answers."""
        self._redis = await asyncio.to_thread(self._start_redis)

    def stop(self) -> None:
        """Ends both."""
        self._mongodb.kill()
        self._redis.kill()

    def _start_mongodb(self) -> Process:
        data, log = self._directory / "mongodb", self._directory / "mongodb.log"
        return servers.start_mongod(self._processes, data, log, self._mongodb_port)

    def _start_redis(self) -> Process:
        data, log = self._directory / "redis", self._directory / "redis.log"
        return servers.start_redis(self._processes, data, log, self._redis_port)
