"""Hashing in bounds."""

import asyncio
import threading
import time

import pytest

from lucid.auth.hashing import AT_ONCE, MOST_WAITING, Hashing
from lucid.kit import context
from lucid.kit.errors import Unavailable


class Gate:
    """Work that stays until it is let through, and counts how many are inside."""

    def __init__(self) -> None:
        self._opened = threading.Event()
        self._lock = threading.Lock()
        self.inside = self.most = 0

    def work(self, word: str) -> str:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        assert self._opened.wait(10)
        with self._lock:
            self.inside -= 1
        return word.upper()

    def open(self) -> None:
        self._opened.set()


async def test_runs_no_more_than_its_threads_at_once_and_answers_all() -> None:
    hashing, gate = Hashing(), Gate()
    tasks = [asyncio.create_task(hashing.run(gate.work, f"w{i}")) for i in range(10)]
    await asyncio.sleep(0.1)
    gate.open()
    assert await asyncio.gather(*tasks) == [f"W{i}" for i in range(10)]
    assert gate.most == AT_ONCE
    hashing.close()


async def test_turns_people_away_when_the_queue_is_full_and_takes_them_again_later() -> None:
    hashing, gate = Hashing(), Gate()
    tasks = [asyncio.create_task(hashing.run(gate.work, "w")) for _ in range(MOST_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="try again"):
        await hashing.run(gate.work, "one too many")
    gate.open()
    await asyncio.gather(*tasks)
    assert await hashing.run(gate.work, "later") == "LATER"
    hashing.close()


async def test_waits_no_longer_than_the_deadline_of_the_request() -> None:
    hashing, gate = Hashing(), Gate()
    running = [asyncio.create_task(hashing.run(gate.work, "w")) for _ in range(AT_ONCE)]
    await asyncio.sleep(0)
    token = context.deadline.set(time.monotonic() + 0.05)
    with pytest.raises(TimeoutError):
        await hashing.run(gate.work, "late")
    context.deadline.reset(token)
    gate.open()
    await asyncio.gather(*running)
    hashing.close()
    assert gate.most == AT_ONCE
