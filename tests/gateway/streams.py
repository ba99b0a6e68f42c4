"""A gateway before a service with bodies of any size, and what the bodies cost it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

from tests.auth.live import Deployment
from tests.gateway.running import Gateway, running
from tests.gateway.running_plain import serve_plain

MIB = 1024 * 1024
GROWTH = 24 * MIB
"""How much larger both workers together may become."""
PROFILE = """
upstreams: {{big: {{urls: ["http://127.0.0.1:{port}"]}}}}
passages: [{{prefix: /big, upstream: big, access: public, max_body: 1000000000}}]
"""
PIECE = bytes(256 * 1024)


async def download(request: web.Request) -> web.StreamResponse:
    """As many MiB as the query says."""
    size = int(request.query["mib"]) * MIB
    response = web.StreamResponse(headers={"Content-Length": str(size)})
    await response.prepare(request)
    for _ in range(size // len(PIECE)):
        await response.write(PIECE)
    return response


async def upload(request: web.Request) -> web.Response:
    """Takes its time for the first 20 MiB; says how much has come."""
    size = 0
    async for piece in request.content.iter_any():
        size += len(piece)
        if size < 20 * MIB:
            await asyncio.sleep(0.002)
    return web.Response(text=str(size))


async def cut(request: web.Request) -> web.StreamResponse:
    """Leaves in the middle of its answer."""
    response = web.StreamResponse(headers={"Content-Length": str(4 * len(PIECE))})
    await response.prepare(request)
    await response.write(PIECE)
    assert request.transport is not None
    request.transport.abort()
    return response


@asynccontextmanager
async def streaming(deployment: Deployment, directory: Path, **more: str) -> AsyncIterator[Gateway]:
    """The gateway, with the service behind it; `more`: settings, without which there are no limits."""
    app = web.Application()
    app.add_routes([web.get("/big", download), web.put("/big", upload), web.get("/big/cut", cut)])
    profile = directory / "gateway.yml"
    async with serve_plain(app) as port:
        profile.write_text(PROFILE.format(port=port))
        settings = {"GATEWAY_PROFILE": str(profile), "RATE_LIMIT_ENABLED": "false"} | more
        async with running(deployment, **settings) as gateway:
            yield gateway


@asynccontextmanager
async def watched(gateway: Gateway, *, seconds: float = 0.01) -> AsyncIterator[list[int]]:
    """The gateway's memory over the block, a reading every `seconds`."""
    readings = [gateway.memory]

    async def watch() -> None:
        while True:
            await asyncio.sleep(seconds)
            readings.append(gateway.memory)

    watching = asyncio.create_task(watch())
    try:
        yield readings
    finally:
        watching.cancel()


def flat(readings: list[int]) -> None:
    """Fails if the gateway has grown by more than `GROWTH`."""
    assert len(readings) > 5
    grown = max(readings) - readings[0]
    assert grown < GROWTH, f"{grown / MIB:.1f} MiB more"


async def downloaded(gateway: Gateway, mib: int) -> int:
    """Bytes that came to a client who is slow at first."""
    size = 0
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout()) as session,
        session.get(f"{url(gateway)}?mib={mib}") as answer,
    ):
        async for piece in answer.content.iter_any():
            if size < 8 * MIB:
                await asyncio.sleep(0.01)
            size += len(piece)
    return size


async def uploaded(gateway: Gateway, mib: int, *, declared: bool, source: str = "127.0.0.1") -> int:
    """Bytes that came to the service; whether their number was `declared` before.

    Raises aiohttp.ClientResponseError for a refusal.
    """

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(mib * MIB // len(PIECE)):
            yield PIECE

    headers = {"Content-Length": str(mib * MIB)} if declared else {}
    async with (
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(local_addr=(source, 0)), raise_for_status=True
        ) as session,
        session.put(url(gateway), data=pieces(), headers=headers) as answer,
    ):
        return int(await answer.text())


def url(gateway: Gateway) -> str:
    """Where the bodies are."""
    return f"http://127.0.0.1:{gateway.ports['http']}/big"
