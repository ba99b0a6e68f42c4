"""An rdp host for tests."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from lucid.rdp import keeper, watch
from tests.deployment import deployment
from tests.rdp.real_displays import RealDisplays
from tests.rdp.site import CHAIN, CONTROLLER, SESSIONS, SETTINGS, Site
from tests.sessions.screens import screens


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(
    tmp_path_factory: pytest.TempPathFactory, mongodb_url: str, redis_url: str
) -> AsyncIterator[Site]:
    """All of it runs. One for a module: each test has sessions of its own, and leaves all as it was."""
    directory = tmp_path_factory.mktemp("rdp")
    with screens(directory) as start_screen, pytest.MonkeyPatch.context() as patch:
        patch.setattr(watch, "LOOK_SECONDS", 0.25)
        patch.setattr(keeper, "WAIT_SECONDS", 3.0)
        async with deployment(directory, mongodb_url, redis_url, **SETTINGS) as house:
            await house.start(*CHAIN)
            made = Site(house, RealDisplays(start_screen), await house.client("rdp-manager"))
            await made.start(*SESSIONS, CONTROLLER)
            try:
                yield made
            finally:
                await made.close()
