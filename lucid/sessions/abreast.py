"""Many sessions at a time, so that those on a host that is down hardly keep the others waiting."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from lucid.kit.mongo import Document

AT_ONCE = 32


async def abreast(sessions: Iterable[Document], work: Callable[[Document], Awaitable[None]]) -> None:
    """Does the work on each session; returns when all of it is done. Raises an ExceptionGroup."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(session: Document) -> None:
        async with turn:
            await work(session)

    async with asyncio.TaskGroup() as group:
        for session in sessions:
            group.create_task(one(session))
