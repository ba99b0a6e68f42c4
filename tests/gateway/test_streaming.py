"""Bodies of any size through a running gateway cost it nothing, however slow one end is."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.auth.live import Deployment
from tests.gateway.running import Gateway
from tests.gateway.streams import MIB, downloaded, flat, streaming, uploaded, url, watched

pytestmark = pytest.mark.quiet

DOWNLOAD_MIB, UPLOAD_MIB = 400, 100
"""tests/soak has 10 GB."""


@pytest.fixture
async def gateway(deployment: Deployment, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with streaming(deployment, tmp_path) as made:
        yield made


def limits(bytes_per_second: int, burst: int) -> dict[str, str]:
    """The settings."""
    return {
        "RATE_LIMIT_ENABLED": "true",
        "RATE_LIMIT_UPLOAD_BYTES_PER_SECOND": str(bytes_per_second),
        "RATE_LIMIT_UPLOAD_BURST": str(burst),
    }


async def test_a_download_costs_no_memory_though_its_client_is_slow(gateway: Gateway) -> None:
    async with watched(gateway) as readings:
        assert await downloaded(gateway, DOWNLOAD_MIB) == DOWNLOAD_MIB * MIB
    flat(readings)


@pytest.mark.parametrize("declared", [True, False])
async def test_an_upload_costs_no_memory_though_its_service_is_slow(gateway: Gateway, declared: bool) -> None:
    async with watched(gateway) as readings:
        assert await uploaded(gateway, UPLOAD_MIB, declared=declared) == UPLOAD_MIB * MIB
    flat(readings)


async def test_an_upload_is_taken_as_fast_as_its_client_may_send(
    deployment: Deployment, tmp_path: Path
) -> None:
    async with streaming(deployment, tmp_path, **limits(2 * MIB, MIB)) as gateway:
        begin = time.monotonic()
        slowed = asyncio.create_task(uploaded(gateway, 5, declared=True))
        assert await uploaded(gateway, 1, declared=True, source="127.0.0.2") == MIB
        assert not slowed.done()
        assert await slowed == 5 * MIB
        # A burst of one, a piece that is owed at the end, and the rest at two a second.
        assert time.monotonic() - begin > (5 - 1 - 0.5) / 2


async def test_who_sends_far_too_much_at_once_is_refused(deployment: Deployment, tmp_path: Path) -> None:
    # What comes in 5 s may be owed.
    settings = limits(MIB // 10, MIB // 10) | {"LOG_LEVEL": "INFO"}
    async with streaming(deployment, tmp_path, **settings) as gateway:
        uploads = [asyncio.create_task(uploaded(gateway, 1, declared=True)) for _ in range(8)]
        async with asyncio.timeout(30):
            while '"status":429' not in gateway.log:  # noqa: ASYNC110 - no event tells of another process' log
                await asyncio.sleep(0.05)
        done, late = await asyncio.wait(uploads, timeout=20, return_when=asyncio.FIRST_EXCEPTION)
        for each in late:
            each.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        refusals = [error for each in done if (error := each.exception()) is not None]
    assert refusals
    for refusal in refusals:
        # Or the connection is closed on what it still sends.
        assert isinstance(refusal, aiohttp.ClientOSError) or getattr(refusal, "status", 0) == 429


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
