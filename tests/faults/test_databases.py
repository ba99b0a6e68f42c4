"""MongoDB killed and hung, Redis gone, while a desktop is recorded: it waits, and then nothing is missing."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lucid.contracts import session_anchoring as anchoring
from lucid.contracts import session_pipeline as pipeline
from lucid.contracts import session_storage as storage
from lucid.contracts.types import ChunkPath, SessionPath
from lucid.kit.client import ServiceClient
from lucid.kit.errors import Code, Envelope
from lucid.kit.routes import Route
from lucid.kit.tls import internal_name
from tests.deployment import Deployment, deployment
from tests.faults.conftest import FAST
from tests.faults.databases import Databases
from tests.faults.recordings import BEHIND, STORES, begin, kill_encoder, proved, stop, view
from tests.sessions.screens import Screen
from tests.sessions.waiting import until

pytestmark = pytest.mark.quiet

ANSWER_SECONDS = 9.0
"""A hung primary is given up after four seconds; the rest is for a busy machine."""


@pytest.fixture
async def house(tmp_path: Path, databases: Databases) -> AsyncIterator[Deployment]:
    made_of = deployment(tmp_path / "house", databases.mongodb_url, databases.redis_url, **FAST)
    async with made_of as made:
        await made.start(*BEHIND, *STORES, "session-recorder")
        yield made


@pytest.fixture
async def api(house: Deployment) -> ServiceClient:
    await until(lambda: house.ready("session-recorder"))
    return await house.client("session-api")


@pytest.mark.timeout(150)
async def test_mongodb_killed_and_hung_in_mid_recording_loses_and_doubles_nothing(
    house: Deployment, api: ServiceClient, screen: Screen, databases: Databases
) -> None:
    session = await begin(api, screen)
    await databases.kill_mongodb()
    await kill_encoder(screen)  # ends a chunk that now has nowhere to go
    await refused_with_5002(api, session)
    await asyncio.sleep(1)
    waiting = await view(api, session)
    assert waiting.state == "recording"
    assert waiting.chunks > waiting.stored
    await databases.restart_mongodb()
    await until(lambda: all_stored(api, session, waiting.chunks), 40)
    databases.hang_mongodb()
    try:
        await kill_encoder(screen)
        await refused_with_5002(api, session)
    finally:
        databases.wake_mongodb()
    await stop(api, session)
    manifest = await proved(house, api, session, seconds=40)
    assert manifest.end_reason == "stopped"
    assert {gap.cause for gap in manifest.gaps} == {"capture_restarted"}


async def test_without_redis_a_recording_goes_on_and_only_a_live_figure_is_missing(
    house: Deployment, api: ServiceClient, screen: Screen, databases: Databases
) -> None:
    session = await begin(api, screen)
    await databases.kill_redis()
    await kill_encoder(screen)
    await until(lambda: all_stored(api, session, 2))
    assert (await api.call(pipeline.GET, SessionPath(session))).spooled_bytes is None
    assert await house.ready("session-pipeline")
    await databases.restart_redis()
    await stop(api, session)
    assert (await proved(house, api, session)).end_reason == "stopped"
    assert (await api.call(pipeline.GET, SessionPath(session))).spooled_bytes == 0


async def refused_with_5002(api: ServiceClient, session: str) -> None:
    """Who needs the database says so, in time; it is never taken for the caller's fault."""
    begin = time.monotonic()
    questions = (
        (pipeline.GET, SessionPath(session)),
        (storage.LEAF, ChunkPath(session, 0, 0)),
        (anchoring.OF_SESSION, SessionPath(session)),
    )
    answers = await asyncio.gather(*(ask_once(api, route, params) for route, params in questions))
    assert answers == [(503, Code.DATABASE.label)] * len(questions)
    assert time.monotonic() - begin < ANSWER_SECONDS


async def ask_once(api: ServiceClient, route: Route[Any, Any, Any], params: Any) -> tuple[int, str]:
    """Status and code of one answer; `call` would ask again as long as there is time."""
    name = internal_name(route.service)
    async with api.session.get(api.url(route, params), server_hostname=name) as answer:
        return answer.status, msgspec.json.decode(await answer.read(), type=Envelope).error.code


async def all_stored(api: ServiceClient, session: str, chunks: int) -> bool:
    return (await view(api, session)).stored >= chunks
