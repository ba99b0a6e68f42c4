"""A budget of bytes that several tasks share: what bounds a process's memory, whatever comes at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Budget:
    """`total` bytes, taken and given back; served in the order of asking, so that no large wish starves."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._free = total
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def take(self, size: int) -> AsyncIterator[None]:
        """Waits until `size` bytes are free and holds them for as long as the context lasts.

        More than there is in all counts as all.
        """
        size = min(size, self._total)
        async with self._turn:
            while self._free < size:
                self._freed.clear()
                await self._freed.wait()
            self._free -= size
        try:
            yield
        finally:
            self._free += size
            self._freed.set()
