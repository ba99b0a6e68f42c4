"""session-anchoring over HTTP, in front of a real chain."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lucid.blocks.entries import LogEntry
from lucid.contracts import session_anchoring as contract
from lucid.contracts.types import SessionPath
from lucid.kit.errors import Code, Conflict, Forbidden, Invalid, NotFound
from lucid.kit.routes import NOTHING
from tests.blocks.world import START_MS, Signer, forged, genesis_entry, recording, session_id
from tests.deployment import Deployment, deployment

CALLER = "session-recorder"
RECORDER, CLOSER = Signer("recorder"), Signer("closer", "closer")
SESSION = session_id(1)


@pytest.fixture
async def services(tmp_path: Path, mongodb_url: str) -> AsyncIterator[Deployment]:
    settings = {"BLOCK_TIME_SECONDS": "0.1", "ANCHOR_POLL_SECONDS": "0.05"}
    async with deployment(tmp_path, mongodb_url, "", **settings) as made:
        await made.start("blockchain-engine", "session-anchoring")
        yield made


async def submit(made: Deployment, entry: LogEntry) -> contract.Anchor:
    return await made.call(CALLER, contract.SUBMIT, NOTHING, contract.Submit(entry.data.decode()))


async def settled(made: Deployment, entry: LogEntry) -> contract.Anchor:
    """Wait until an anchor is no longer pending."""
    client = await made.client(CALLER)
    async with asyncio.timeout(15):
        while True:
            found = await client.call(contract.STATUS, contract.AnchorPath(entry.hash))
            if found.state != "pending":
                return found
            await asyncio.sleep(0.05)


async def test_a_session_becomes_final_from_its_first_anchor_to_its_manifest(services: Deployment) -> None:
    entries = [RECORDER.registration(), *recording(RECORDER, SESSION)]
    for entry in entries:
        assert (await submit(services, entry)).state == "pending"
    found = [await settled(services, entry) for entry in entries]
    assert [anchor.state for anchor in found] == ["final"] * len(entries)
    assert [anchor.index for anchor in found] == list(range(1, len(entries) + 1))
    assert all(anchor.height for anchor in found)
    assert [anchor.envelope.encode() for anchor in found] == [entry.data for entry in entries]


async def test_a_sessions_anchors_come_in_order_after_the_registrations_of_their_signers(
    services: Deployment,
) -> None:
    lost = CLOSER.manifest(SESSION, 2, end_reason="recorder_lost", attested=1, recorder=RECORDER)
    entries = [
        CLOSER.registration(),
        RECORDER.registration(),
        Signer("bystander").registration(),
        RECORDER.anchor(SESSION, 0),
        RECORDER.anchor(session_id(2), 0),
        RECORDER.anchor(SESSION, 1),
        lost,
    ]
    for entry in entries:
        await submit(services, entry)
    await settled(services, lost)
    answer = await services.call("session-api", contract.OF_SESSION, SessionPath(SESSION))
    assert [anchor.entry for anchor in answer.anchors] == [entries[n].hash for n in (0, 1, 3, 5, 6)]
    assert {anchor.state for anchor in answer.anchors} == {"final"}


async def test_what_happens_afterwards_stands_apart_and_comes_in_pages_newest_first(
    services: Deployment,
) -> None:
    life = [CLOSER.access(SESSION), CLOSER.hold(SESSION), CLOSER.hold(SESSION, held=False)]
    life += [CLOSER.access(SESSION, time_ms=START_MS + 1), CLOSER.erasure(SESSION)]
    opened = [RECORDER.registration(), RECORDER.anchor(SESSION, 0), RECORDER.manifest(SESSION, 0)]
    for entry in (CLOSER.registration(), *opened, *life):
        await submit(services, entry)
    assert (await settled(services, life[-1])).state == "final"
    answer = await services.call("session-api", contract.OF_SESSION, SessionPath(SESSION))
    assert [anchor.entry for anchor in answer.anchors] == [entry.hash for entry in opened]
    seen: list[str] = []
    before: int | None = None
    while True:
        page = await services.call("session-api", contract.LIFE, contract.LifeQuery(SESSION, 2, before))
        seen += [entry.entry for entry in page.entries]
        if (before := page.next) is None:
            break
    assert seen == [entry.hash for entry in life[::-1]]


async def test_a_tombstone_under_a_hold_waits_for_nothing_and_is_refused(services: Deployment) -> None:
    entries = [RECORDER.registration(), CLOSER.registration(), RECORDER.anchor(SESSION, 0)]
    for entry in (*entries, RECORDER.manifest(SESSION, 0), CLOSER.hold(SESSION), CLOSER.erasure(SESSION)):
        await submit(services, entry)
    refused = await settled(services, CLOSER.erasure(SESSION))
    assert (refused.state, "legal hold" in (refused.reason or "")) == ("refused", True)


async def test_the_same_anchor_again_is_the_same_anchor(services: Deployment) -> None:
    entry = RECORDER.registration()
    await asyncio.gather(*(submit(services, entry) for _ in range(8)))
    final = await settled(services, entry)
    assert await submit(services, entry) == final


async def test_another_manifest_for_a_session_is_a_conflict(services: Deployment) -> None:
    for entry in (RECORDER.registration(), RECORDER.anchor(SESSION, 0), RECORDER.manifest(SESSION, 1)):
        await submit(services, entry)
    with pytest.raises(Conflict, match="another manifest") as caught:
        await submit(services, RECORDER.manifest(SESSION, 2))
    assert caught.value.code is Code.CONFLICT


async def test_what_the_chain_refuses_is_refused_with_its_reason_and_may_come_again(
    services: Deployment,
) -> None:
    too_early = RECORDER.manifest(SESSION, 1)
    await submit(services, RECORDER.registration())
    await submit(services, too_early)
    refused = await settled(services, too_early)
    assert refused.state == "refused"
    assert refused.reason is not None
    assert "is not open" in refused.reason
    await submit(services, RECORDER.anchor(SESSION, 0))
    assert (await submit(services, too_early)).state == "pending"
    assert (await settled(services, too_early)).state == "final"


async def test_a_refused_manifest_makes_room_for_another(services: Deployment) -> None:
    await submit(services, RECORDER.registration())
    await submit(services, RECORDER.anchor(SESSION, 0))
    wrong = RECORDER.manifest(SESSION, 1, end_reason="recorder_lost")
    await submit(services, wrong)
    assert (await settled(services, wrong)).state == "refused"
    right = RECORDER.manifest(SESSION, 1)
    await submit(services, right)
    assert (await settled(services, right)).state == "final"
    with pytest.raises(Conflict):
        await submit(services, wrong)


async def test_a_second_registration_of_a_key_is_refused(services: Deployment) -> None:
    first, second = RECORDER.registration(), RECORDER.registration(time_ms=START_MS + 1)
    for entry in (first, second):
        await submit(services, entry)
    assert (await settled(services, first)).state == "final"
    assert (await settled(services, second)).state == "refused"


@pytest.mark.parametrize(
    "envelope",
    ["", "{}", " " + RECORDER.registration().data.decode(), genesis_entry("validator").decode()],
    ids=["empty", "not an envelope", "not canonical", "a genesis"],
)
async def test_what_is_no_anchor_is_a_format_error(services: Deployment, envelope: str) -> None:
    with pytest.raises(Invalid, match="envelope: ") as caught:
        await services.call(CALLER, contract.SUBMIT, NOTHING, contract.Submit(envelope))
    assert caught.value.code is Code.FORMAT


async def test_strangers_and_forgers_are_turned_away_at_once(services: Deployment) -> None:
    await submit(services, RECORDER.registration())
    for entry in (
        Signer("stranger").anchor(SESSION, 0),
        forged(RECORDER.anchor(SESSION, 0)),
        forged(Signer("other").registration()),
    ):
        with pytest.raises(Forbidden):
            await submit(services, entry)
        with pytest.raises(NotFound):
            await services.call(CALLER, contract.STATUS, contract.AnchorPath(entry.hash))


async def test_anchors_wait_while_the_chain_is_away(services: Deployment) -> None:
    await services.stop("blockchain-engine")
    entry = RECORDER.registration()
    assert (await submit(services, entry)).state == "pending"
    await services.start("blockchain-engine")
    assert (await settled(services, entry)).state == "final"
