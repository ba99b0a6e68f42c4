"""Runs password hashing beside the event loop, in bounds: it is the one thing here that costs memory."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from lucid.kit import context
from lucid.kit.errors import Unavailable

T = TypeVar("T")

AT_ONCE = 2
"""Threads. Each Argon2id run holds 64 MiB of the service's 512."""
MOST_WAITING = 32
"""Beyond these nobody is made to wait: the last in line would give up before its turn."""
WAIT_SECONDS = 10.0


class Hashing:
    """A queue of at most `MOST_WAITING` hashings, `AT_ONCE` of them running."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="hashing")
        self._waiting = 0

    async def run(self, work: Callable[..., T], *arguments: str) -> T:
        """`work(*arguments)` in a thread.

        Raises Unavailable 5008 when too many wait already, TimeoutError when the deadline passes.
        """
        if self._waiting >= MOST_WAITING:
            raise Unavailable("too many people are logging in at this moment; try again in a few seconds")
        self._waiting += 1
        try:
            async with asyncio.timeout(context.remaining(WAIT_SECONDS)):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Lets go of the threads; what has not begun is dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)
