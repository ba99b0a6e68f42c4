"""session-pipeline on a real MongoDB and Redis."""

import uuid

import pytest

from lucid.contracts import session_pipeline as contract
from lucid.contracts.types import SessionPath
from lucid.kit.client import ServiceClient
from lucid.kit.errors import Conflict, NotFound
from tests.deployment import Deployment

NAMES = tuple(contract.ChunkName(0, index) for index in range(6))


@pytest.fixture
async def client(house: Deployment) -> ServiceClient:
    await house.start("session-pipeline")
    return await house.client("session-recorder")


@pytest.fixture
async def path(client: ServiceClient) -> SessionPath:
    named = SessionPath(str(uuid.uuid4()))
    await client.call(contract.SET_STATE, named, contract.SetState("active"))
    return named


def report(**totals: int) -> contract.Report:
    none = dict.fromkeys(("recorded", "stored", "anchored", "failed", "raw_bytes", "sealed_bytes"), 0)
    return contract.Report(done=NAMES[:2], spooled_bytes=77, **(none | totals))


async def test_credits_are_granted_up_to_four_and_come_back(client: ServiceClient, path: SessionPath) -> None:
    first = await client.call(contract.CREDITS, path, contract.AskCredits(NAMES))
    assert first.granted == NAMES[:4]
    assert (await client.call(contract.CREDITS, path, contract.AskCredits(NAMES[4:]))).granted == ()
    await client.call(contract.REPORT, path, report(recorded=6, stored=2))
    assert (await client.call(contract.CREDITS, path, contract.AskCredits(NAMES[4:]))).granted == NAMES[4:]


async def test_totals_only_grow_and_repeated_reports_do_no_harm(
    client: ServiceClient, path: SessionPath
) -> None:
    for totals in ({"recorded": 5, "stored": 3}, {"recorded": 5, "stored": 3}, {"recorded": 2}):
        shown = await client.call(contract.REPORT, path, report(**totals))
        assert (shown.recorded, shown.stored, shown.spooled_bytes) == (5, 3, 77)


async def test_states_follow_the_machine(client: ServiceClient, path: SessionPath) -> None:
    async def move(state: contract.PipelineState) -> str:
        return (await client.call(contract.SET_STATE, path, contract.SetState(state))).state

    assert [await move(s) for s in ("active", "paused", "paused", "active", "stopped")][-1] == "stopped"
    with pytest.raises(Conflict) as refused:
        await move("active")
    assert refused.value.code.number == 4007
    with pytest.raises(Conflict, match="takes no chunks"):
        await client.call(contract.CREDITS, path, contract.AskCredits(NAMES))


async def test_a_session_without_a_pipeline_is_not_found(client: ServiceClient) -> None:
    with pytest.raises(NotFound):
        await client.call(contract.GET, SessionPath(str(uuid.uuid4())))


async def test_without_redis_the_pipeline_works_and_says_that_it_lacks_live_figures(
    house: Deployment,
) -> None:
    house.stores["REDIS_URL"] = "redis://127.0.0.1:1/0"
    await house.start("session-pipeline")
    client, path = await house.client("session-recorder"), SessionPath(str(uuid.uuid4()))
    await client.call(contract.SET_STATE, path, contract.SetState("active"))
    assert (await client.call(contract.CREDITS, path, contract.AskCredits(NAMES))).granted
    assert (await client.call(contract.REPORT, path, report(recorded=1))).spooled_bytes is None
