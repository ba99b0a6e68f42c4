"""rdp-manager as people use it: with the real session-api, and hosts that keep sessions without desktops."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.rdp.site import Site, site


@pytest.fixture
async def rdp(tmp_path: Path, mongodb_url: str, redis_url: str) -> AsyncIterator[Site]:
    async with site(tmp_path, mongodb_url, redis_url, "rdp1", "rdp2") as made:
        yield made


async def test_x(rdp: Site) -> None:
    anna = rdp.person()
    c = await anna.open()
    print(c, c.rdp_file, c.session)
    print(await anna.get(c.session.id))
