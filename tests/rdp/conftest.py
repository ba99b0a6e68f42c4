"""An rdp host for tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.deployment import deployment
from tests.rdp.real_displays import RealDisplays
from tests.rdp.site import CHAIN, SETTINGS, Site
from tests.sessions.screens import screens


@pytest.fixture
async def site(tmp_path: Path, mongodb_url: str, redis_url: str) -> AsyncIterator[Site]:
    """The chain runs; each test starts what else it needs."""
    with screens(tmp_path) as start_screen:
        async with deployment(tmp_path, mongodb_url, redis_url, **SETTINGS) as house:
            await house.start(*CHAIN)
            made = Site(house, RealDisplays(start_screen), await house.client("rdp-manager"))
            try:
                yield made
            finally:
                await made.close()
