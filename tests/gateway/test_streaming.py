"""Bodies of any size through a running gateway cost it nothing, however slow one end is."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.auth.live import Deployment
from tests.gateway.running import Gateway
from tests.gateway.streams import MIB, downloaded, flat, streaming, uploaded, url, watched

DOWNLOAD_MIB, UPLOAD_MIB = 400, 100
"""tests/soak has 10 GB."""


@pytest.fixture
async def gateway(deployment: Deployment, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with streaming(deployment, tmp_path) as made:
        yield made


async def test_a_download_costs_no_memory_though_its_client_is_slow(gateway: Gateway) -> None:
    async with watched(gateway) as readings:
        assert await downloaded(gateway, DOWNLOAD_MIB) == DOWNLOAD_MIB * MIB
    flat(readings)


@pytest.mark.parametrize("declared", [True, False])
async def test_an_upload_costs_no_memory_though_its_service_is_slow(gateway: Gateway, declared: bool) -> None:
    async with watched(gateway) as readings:
        assert await uploaded(gateway, UPLOAD_MIB, declared=declared) == UPLOAD_MIB * MIB
    flat(readings)


async def test_an_answer_that_is_cut_short_is_cut_short_for_the_client_too(gateway: Gateway) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{url(gateway)}/cut") as answer:
        assert answer.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


async def test_clients_that_leave_take_their_connections_with_them(gateway: Gateway) -> None:
    def open_files() -> int:
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in gateway.workers)

    before = open_files()
    async with aiohttp.ClientSession() as session:
        for _ in range(30):
            async with session.get(f"{url(gateway)}?mib={DOWNLOAD_MIB}") as answer:
                await answer.content.readany()
                answer.close()
    async with asyncio.timeout(5):
        while open_files() > before + 2:  # noqa: ASYNC110 - no event tells of another process' descriptors
            await asyncio.sleep(0.01)
    assert "Traceback" not in gateway.log
