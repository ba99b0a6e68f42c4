"""Ten gigabytes down and hundreds of megabytes up through one gateway: its memory stays where it was."""

import time
from pathlib import Path

import pytest

from tests.auth.live import Deployment
from tests.gateway.streams import MIB, downloaded, flat, streaming, uploaded, watched

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

DOWNLOAD_MIB, UPLOAD_MIB = 10_000, 100
UPLOADS = 10


async def test_a_download_of_ten_gigabytes(deployment: Deployment, tmp_path: Path) -> None:
    async with streaming(deployment, tmp_path) as gateway, watched(gateway, seconds=0.1) as readings:
        begin = time.perf_counter()
        assert await downloaded(gateway, DOWNLOAD_MIB) == DOWNLOAD_MIB * MIB
        show(DOWNLOAD_MIB, "down", time.perf_counter() - begin, readings)
    flat(readings)


@pytest.mark.parametrize("declared", [True, False])
async def test_uploads_of_a_hundred_megabytes_each(
    deployment: Deployment, tmp_path: Path, declared: bool
) -> None:
    async with streaming(deployment, tmp_path) as gateway, watched(gateway, seconds=0.1) as readings:
        begin = time.perf_counter()
        for _ in range(UPLOADS):
            assert await uploaded(gateway, UPLOAD_MIB, declared=declared) == UPLOAD_MIB * MIB
        show(UPLOADS * UPLOAD_MIB, "up", time.perf_counter() - begin, readings)
    flat(readings)


def show(mib: int, way: str, seconds: float, readings: list[int]) -> None:
    grown = (max(readings) - readings[0]) / MIB
    speed = mib / seconds
    print(f"{mib} MiB {way} in {seconds:.1f} s, {speed:.0f} MiB/s; {grown:.1f} MiB more memory")  # noqa: T201
