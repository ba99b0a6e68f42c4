"""Applications on plain sockets of loopback, as programs of the same host reach them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from lucid.dev.servers import free_port


@asynccontextmanager
async def serve_plain(app: web.Application) -> AsyncIterator[int]:
    """Serves the application until the end of the block; the port."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    try:
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield port
    finally:
        await runner.cleanup()
