"""Waiting for what services do, within limits."""

import asyncio
from collections.abc import Awaitable, Callable

from lucid.kit.errors import LucidError


async def until(ready: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    """Returns once `ready` says so; errors of services that are not there yet count as no."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                if await ready():
                    return
            except LucidError:
                pass
            await asyncio.sleep(0.1)
