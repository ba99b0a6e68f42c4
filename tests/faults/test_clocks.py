"""A wall clock that jumps in mid-session: the order of events stays true, and gaps have their length."""

import asyncio
import time

import pytest

from lucid.kit.client import ServiceClient
from lucid.sessions import delivery, recording
from tests.deployment import Deployment
from tests.faults.recordings import BEHIND, STORES, begin, kill_encoder, proved, stop, view
from tests.sessions.screens import Screen
from tests.sessions.waiting import until

HOUR_MS = 3_600_000


class Clock:
    """The recorder's wall clock, `ahead_ms` of the true one."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_ms


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in (recording, delivery):
        monkeypatch.setattr(module, "now_ms", made.now_ms)
    return made


@pytest.fixture
async def api(house: Deployment) -> ServiceClient:
    await house.start(*BEHIND, *STORES, "session-recorder")
    await until(lambda: house.ready("session-recorder"))
    return await house.client("session-api")


async def test_set_back_by_an_hour_and_then_on_by_two(
    house: Deployment, api: ServiceClient, screen: Screen, clock: Clock
) -> None:
    session = await begin(api, screen)
    for ahead_ms in (-HOUR_MS, HOUR_MS):
        clock.ahead_ms = ahead_ms
        before = (await view(api, session)).chunks
        await kill_encoder(screen)
        await until(lambda count=before: has_captured(api, session, count + 1))  # type: ignore[misc]  # bound now
    await stop(api, session)
    manifest = await proved(house, api, session)
    assert {gap.cause for gap in manifest.gaps} == {"capture_restarted"}
    assert max(gap.end_ms - gap.start_ms for gap in manifest.gaps) >= HOUR_MS
    assert manifest.end_ms - manifest.start_ms >= HOUR_MS


async def test_set_back_by_an_hour_does_not_hold_up_the_anchors(
    house: Deployment, api: ServiceClient, screen: Screen, clock: Clock
) -> None:
    session = await begin(api, screen)
    await until(lambda: is_anchored(api, session, 1))
    clock.ahead_ms = -HOUR_MS
    chunks = (await view(api, session)).chunks
    await kill_encoder(screen)
    await until(lambda: is_anchored(api, session, chunks + 1), 20)
    assert (await view(api, session)).state == "recording"
    await stop(api, session)
    await asyncio.wait_for(proved(house, api, session), 30)


async def has_captured(api: ServiceClient, session: str, chunks: int) -> bool:
    return (await view(api, session)).chunks >= chunks


async def is_anchored(api: ServiceClient, session: str, chunks: int) -> bool:
    return (await view(api, session)).anchored >= chunks
