"""Bodies of any size through a running gateway cost it nothing, however slow one end is."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from lucid.dev.servers import free_port
from tests.auth.live import Deployment
from tests.gateway.running import Gateway, running

MIB = 1024 * 1024
UPLOAD = 100 * MIB
DOWNLOAD = int(os.environ.get("LUCID_DOWNLOAD_MIB", "400")) * MIB
GROWTH = 24 * MIB
"""How much larger both workers together may become."""
PROFILE = """
upstreams: {{big: {{urls: ["http://127.0.0.1:{port}"]}}}}
passages: [{{prefix: /big, upstream: big, access: public, max_body: 1000000000}}]
"""
PIECE = bytes(256 * 1024)


async def download(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": str(DOWNLOAD)})
    await response.prepare(request)
    for _ in range(DOWNLOAD // len(PIECE)):
        await response.write(PIECE)
    return response


async def upload(request: web.Request) -> web.Response:
    size = 0
    async for piece in request.content.iter_any():
        size += len(piece)
        if size < 20 * MIB:
            await asyncio.sleep(0.002)
    return web.Response(text=str(size))


async def cut(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": str(DOWNLOAD)})
    await response.prepare(request)
    await response.write(PIECE)
    assert request.transport is not None
    request.transport.abort()
    return response


@pytest.fixture
async def gateway(deployment: Deployment, tmp_path: Path) -> AsyncIterator[Gateway]:
    port = free_port()
    file = tmp_path / "gateway.yml"
    file.write_text(PROFILE.format(port=port))
    app = web.Application()
    app.add_routes([web.get("/big", download), web.put("/big", upload), web.get("/big/cut", cut)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    async with running(deployment, GATEWAY_PROFILE=str(file)) as made:
        yield made
    await runner.cleanup()


@asynccontextmanager
async def watched(gateway: Gateway) -> AsyncIterator[list[int]]:
    """The gateway's memory over the block, a reading every 10 ms."""
    readings = [gateway.memory]

    async def watch() -> None:
        while True:
            await asyncio.sleep(0.01)
            readings.append(gateway.memory)

    watching = asyncio.create_task(watch())
    try:
        yield readings
    finally:
        watching.cancel()


async def test_a_download_costs_no_memory_though_its_client_is_slow(gateway: Gateway) -> None:
    url = f"http://127.0.0.1:{gateway.ports['http']}/big"
    async with aiohttp.ClientSession() as session, watched(gateway) as readings:
        size = 0
        async with session.get(url) as answer:
            async for piece in answer.content.iter_any():
                if size < 8 * MIB:
                    await asyncio.sleep(0.01)
                size += len(piece)
    assert size == DOWNLOAD
    assert len(readings) > 5
    assert max(readings) - readings[0] < GROWTH, f"{(max(readings) - readings[0]) / MIB:.1f} MiB more"


@pytest.mark.parametrize("declared", [True, False])
async def test_an_upload_costs_no_memory_though_its_service_is_slow(gateway: Gateway, declared: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(UPLOAD // len(PIECE)):
            yield PIECE

    url = f"http://127.0.0.1:{gateway.ports['http']}/big"
    headers = {"Content-Length": str(UPLOAD)} if declared else {}
    async with (
        aiohttp.ClientSession() as session,
        watched(gateway) as readings,
        session.put(url, data=pieces(), headers=headers) as answer,
    ):
        assert int(await answer.text()) == UPLOAD
    assert len(readings) > 5
    assert max(readings) - readings[0] < GROWTH, f"{(max(readings) - readings[0]) / MIB:.1f} MiB more"


async def test_an_answer_that_is_cut_short_is_cut_short_for_the_client_too(gateway: Gateway) -> None:
    url = f"http://127.0.0.1:{gateway.ports['http']}/big/cut"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


async def test_clients_that_leave_take_their_connections_with_them(gateway: Gateway) -> None:
    url = f"http://127.0.0.1:{gateway.ports['http']}/big"

    def open_files() -> int:
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in gateway.workers)

    before = open_files()
    async with aiohttp.ClientSession() as session:
        for _ in range(30):
            async with session.get(url) as answer:
                await answer.content.readany()
                answer.close()
    async with asyncio.timeout(5):
        while open_files() > before + 2:  # noqa: ASYNC110 - no event tells of another process' descriptors
            await asyncio.sleep(0.01)
    assert "Traceback" not in gateway.log
