"""A wall clock that jumps in mid-session: the order of events stays true, and gaps have their length.

Nobody waits for it either: blocks come in time, and a recorder is given up after as long as was said.
"""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from lucid.blocks import engine
from lucid.contracts import blockchain_engine as chain
from lucid.kit import tokens
from lucid.kit.client import ServiceClient
from lucid.kit.routes import NOTHING
from lucid.kit.tls import internal_name
from lucid.sessions import delivery, recording
from tests.deployment import Deployment
from tests.faults.recordings import BEHIND, STORES, begin, kill_encoder, proved, stop, view
from tests.sessions.kept import keep, rewrite
from tests.sessions.people import Person, person
from tests.sessions.screens import Screen
from tests.sessions.waiting import until

pytestmark = pytest.mark.quiet

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


async def test_of_the_chain_set_back_by_an_hour_holds_no_anchor_up_and_says_so(
    house: Deployment, api: ServiceClient, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await begin(api, screen)
    await until(lambda: is_anchored(api, session, 1))
    before = (await api.call(chain.STATUS, NOTHING)).last_block_ms
    set_clock(monkeypatch, house, -HOUR_MS)
    await kill_encoder(screen)
    await stop(api, session)
    await asyncio.wait_for(proved(house, api, session), 30)
    after = (await api.call(chain.STATUS, NOTHING)).last_block_ms
    assert before < after < before + HOUR_MS
    report = await health(house, "blockchain-engine")
    assert report["status"] == "degraded"
    assert "ahead of this host's clock" in report["dependencies"]["clock"]["error"]
    assert await house.ready("blockchain-engine")


async def test_of_session_api_set_on_by_two_hours_gives_up_no_recorder(
    house: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, alice = await orphan(house, lost_seconds="4")
    begin_s = time.monotonic()
    wall, steady = time.time, time.monotonic
    # Whoever looks on has a clock that is right, and so a token that holds.
    monkeypatch.setattr(tokens, "time", SimpleNamespace(time=wall, monotonic=steady))
    monkeypatch.setattr(time, "time", lambda: wall() + 7200)
    await asyncio.sleep(2)
    assert (await alice.get(session)).state == "recording"
    monkeypatch.setattr(time, "time", lambda: wall() - 7200)
    await until(lambda: has_state(alice, session, "completed"), 15)
    assert steady() - begin_s >= 4
    assert (await alice.get(session)).end_reason == "recorder_lost"


def set_clock(monkeypatch: pytest.MonkeyPatch, house: Deployment, ahead_ms: int) -> None:
    """Sets the wall clock of the engine that runs."""
    running = house.apps["blockchain-engine"][engine.RUNNER].chain
    monkeypatch.setattr(running, "_clock", lambda: time.time_ns() // 1_000_000 + ahead_ms)


async def health(house: Deployment, name: str) -> dict[str, Any]:
    client = await house.client("prometheus")
    url = f"{house.urls([name])[name]}/health"
    async with client.session.get(url, server_hostname=internal_name(name)) as answer:
        assert isinstance(answer, aiohttp.ClientResponse)
        return dict(await answer.json())


async def orphan(house: Deployment, lost_seconds: str) -> tuple[str, Person]:
    """A session that is being recorded, as the books have it, by a recorder that nobody can reach."""
    house.settings["RECORDER_LOST_SECONDS"] = lost_seconds
    await house.start(*BEHIND, *STORES, "session-api")
    alice = await person(house, "alice")
    session = await keep(house, alice, closed=False)
    await rewrite(house, session, state="recording", ended_ms=None)
    return session, alice


async def has_state(who: Person, session: str, state: str) -> bool:
    return (await who.get(session)).state == state


async def has_captured(api: ServiceClient, session: str, chunks: int) -> bool:
    return (await view(api, session)).chunks >= chunks


async def is_anchored(api: ServiceClient, session: str, chunks: int) -> bool:
    return (await view(api, session)).anchored >= chunks
