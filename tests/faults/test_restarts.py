"""Recorders that begin with what an earlier life left in the spool, whole or not."""

import asyncio
import uuid
from pathlib import Path

import msgspec
import pytest

from lucid.contracts import session_recorder as contract
from lucid.kit.client import ServiceClient
from lucid.kit.errors import NotFound
from lucid.sessions.policy import policy_sha256
from lucid.sessions.recording_state import State
from lucid.sessions.spool import Spool
from tests.deployment import Deployment
from tests.faults.recordings import AGREED, BEHIND, STORES, proved, stop, view
from tests.faults.spooled import QUOTA, leave_behind
from tests.sessions.screens import Screen
from tests.sessions.waiting import until


@pytest.fixture
async def api(house: Deployment) -> ServiceClient:
    await house.start(*BEHIND, *STORES)
    return await house.client("session-api")


@pytest.fixture
def spool(house: Deployment) -> Path:
    root = house.directory / "state/session-recorder/spool"
    root.mkdir(parents=True)
    return root


async def test_a_session_with_a_damaged_chunk_fails_openly_and_the_others_arrive(
    house: Deployment, api: ServiceClient, spool: Path
) -> None:
    damaged, whole = await leave_behind(spool, api, sessions=2, chunks=4, size=1000)
    chunk = spool / damaged / "00000002.chunk"
    chunk.write_bytes(bytes(1000))
    await house.start("session-recorder")
    assert (await proved(house, api, whole)).count == 4
    await until(lambda: is_in(api, damaged, "failed"))
    found = await view(api, damaged)
    assert found.error is not None
    assert "chunk 2" in found.error
    assert found.manifest is None
    assert chunk.exists()


async def test_a_session_whose_numbers_are_damaged_does_not_keep_the_recorder_from_starting(
    house: Deployment, api: ServiceClient, spool: Path
) -> None:
    damaged, whole = await leave_behind(spool, api, sessions=2, chunks=2, size=1000)
    (spool / damaged / "progress.json").write_bytes(b"{")
    await house.start("session-recorder")
    assert (await proved(house, api, whole)).count == 2
    with pytest.raises(NotFound):
        await view(api, damaged)
    assert (spool / damaged / "00000001.chunk").exists()


async def test_what_was_read_back_but_not_yet_forgotten_is_forgotten(
    house: Deployment, api: ServiceClient, spool: Path
) -> None:
    (session,) = await leave_behind(spool, api, sessions=1, chunks=3, size=1000)
    kept = {path.name: path.read_bytes() for path in (spool / session).glob("0*")}
    await house.start("session-recorder")
    await proved(house, api, session)
    await house.stop("session-recorder")
    # As if the power had gone after the last state was written, and before anything was deleted.
    (spool / session / "progress.json").unlink()
    for name, content in kept.items():
        (spool / session / name).write_bytes(content)
    saved = msgspec.json.decode((spool / session / "session.json").read_bytes(), type=State)
    before = msgspec.json.encode(msgspec.structs.replace(saved, phase="finishing"))
    (spool / session / "session.json").write_bytes(before)
    await house.start("session-recorder")
    await proved(house, api, session)


async def test_a_recorder_that_died_before_the_first_chunk_still_records(
    house: Deployment, api: ServiceClient, spool: Path, screen: Screen
) -> None:
    request = await unanswered(house, api, spool, screen)
    await house.start("session-recorder")
    await until(lambda: has_chunks(api, request.session))
    await asyncio.sleep(1)
    await stop(api, request.session)
    manifest = await proved(house, api, request.session)
    assert (manifest.end_reason, manifest.gaps) == ("stopped", ())


async def test_a_recorder_that_died_before_the_first_chunk_forgets_a_desktop_that_is_gone(
    house: Deployment, api: ServiceClient, spool: Path, screen: Screen
) -> None:
    request = await unanswered(house, api, spool, screen)
    screen.server.terminate()
    await asyncio.to_thread(screen.server.wait)
    await house.start("session-recorder")
    await until(lambda: is_forgotten(spool, request.session))
    with pytest.raises(NotFound):
        await view(api, request.session)


async def unanswered(
    house: Deployment, api: ServiceClient, spool: Path, screen: Screen
) -> contract.StartRecording:
    """Leaves a session in the spool whose start was never answered."""
    (other,) = await leave_behind(spool, api, sessions=1, chunks=1, size=1)
    with Spool(spool, QUOTA) as opened:
        opened.discard(other)
        session = opened.create(other)
        request = contract.StartRecording(
            session=other,
            owner=str(uuid.uuid4()),
            display=f":{screen.number}",
            cookie=screen.cookie.hex(),
            frame_rate=10,
            quality="low",
            policy_sha256=policy_sha256(AGREED),
            max_bytes=2**30,
        )
        session.save_state(msgspec.json.encode(State(request=request, phase="recording", started_ms=0)))
        session.close()
    return request


async def has_chunks(api: ServiceClient, session: str) -> bool:
    return (await view(api, session)).chunks > 0


async def is_in(api: ServiceClient, session: str, state: str) -> bool:
    return (await view(api, session)).state == state


async def is_forgotten(spool: Path, session: str) -> bool:
    return not (spool / session).exists()
