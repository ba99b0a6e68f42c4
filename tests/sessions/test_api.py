"""session-api as people use it, with everything behind it real."""

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lucid.contracts import auth_service as auth
from lucid.contracts import blockchain_engine as engine
from lucid.contracts import session_api as contract
from lucid.contracts import session_recorder as recorder
from lucid.contracts.session_access import BundleQuery
from lucid.contracts.types import SessionPath
from lucid.evidence import trust as trust_file
from lucid.evidence.steps import Outcome, Report
from lucid.evidence.verify import verify
from lucid.kit.errors import Code, Conflict, Invalid, LucidError, NotFound, Unauthenticated
from lucid.kit.routes import NOTHING
from tests.deployment import Deployment, deployment
from tests.sessions.people import Person, administrator, person
from tests.sessions.screens import Screen
from tests.sessions.waiting import until

SETTINGS = {
    "BLOCK_TIME_SECONDS": "0.3",
    "ANCHOR_INTERVAL_SECONDS": "1",
    "ANCHOR_POLL_SECONDS": "0.1",
    "RECORDER_LOST_SECONDS": "2",
}
ALL = ("session-storage", "chunk-processor", "session-pipeline", "session-recorder", "session-api")


@pytest.fixture
async def house(tmp_path: Path, mongodb_url: str, redis_url: str) -> AsyncIterator[Deployment]:
    """session-api and what it needs to keep its books; the rest is started by tests that record."""
    async with deployment(tmp_path, mongodb_url, redis_url, **SETTINGS) as made:
        await made.start("auth-service", "blockchain-engine", "session-anchoring")
        yield made


async def start_all(house: Deployment) -> None:
    await house.start(*ALL)
    await until(lambda: house.ready("session-recorder"))


@pytest.fixture
async def alice(house: Deployment) -> Person:
    return await person(house, "alice")


async def begin(alice: Person, screen: Screen) -> str:
    session = await alice.create(name="work", frame_rate=10, quality="low")
    body = contract.StartSession(display=f":{screen.number}", cookie=screen.cookie.hex())
    with alice.speaking() as client:
        started = await client.call(contract.START, SessionPath(session), body, seconds=30)
    assert started.state == "recording"
    return session


async def completed(alice: Person, session: str, seconds: float = 30) -> contract.Session:
    async def done() -> bool:
        return (await alice.get(session)).state in {"completed", "failed"}

    await until(done, seconds)
    return await alice.get(session)


async def proved(house: Deployment, alice: Person, session: str) -> Report:
    with alice.speaking() as client:
        bundle = b"".join([p async for p in client.stream(contract.BUNDLE, BundleQuery(session))])
        trust = b"".join([p async for p in client.stream(engine.TRUST, NOTHING)])
    return verify(io.BytesIO(bundle), trust_file.parse(trust))


async def test_a_login_that_was_ended_is_at_its_end_here_too(house: Deployment, alice: Person) -> None:
    await house.start("session-api")
    session = await alice.create(name="work", frame_rate=10, quality="low")
    with alice.speaking() as client:
        await client.call(auth.LOGOUT, NOTHING)

    async def refused() -> bool:
        try:
            await alice.get(session)
        except Unauthenticated as error:
            return error.code is Code.LOGIN_ENDED
        return False

    await until(refused, 5)


class TestOwnership:
    async def test_a_session_does_not_exist_for_others_but_for_admins(
        self, house: Deployment, alice: Person
    ) -> None:
        await house.start(*ALL)
        bob = await person(house, "bob")
        admin = await administrator(house)
        session = await alice.create(name="mine")
        assert (await alice.get(session)).name == "mine"
        assert (await admin.get(session)).name == "mine"
        with pytest.raises(NotFound):
            await bob.get(session)
        for reader, seen in ((alice, 1), (bob, 0), (admin, 1)):
            with reader.speaking() as client:
                assert len((await client.call(contract.LIST, contract.SessionsQuery())).sessions) == seen

    async def test_without_a_token_nothing_is_told(self, house: Deployment) -> None:
        await house.start(*ALL)
        gateway = await house.client("api-gateway")
        with pytest.raises(Unauthenticated):
            await gateway.call(contract.LIST, contract.SessionsQuery())


class TestBooks:
    async def test_pages_are_newest_first_and_miss_nothing(self, house: Deployment, alice: Person) -> None:
        await house.start(*ALL)
        made = [await alice.create(name=str(n)) for n in range(5)]
        seen: list[str] = []
        before: str | None = None
        while True:
            with alice.speaking() as client:
                page = await client.call(contract.LIST, contract.SessionsQuery(limit=2, before=before))
            seen += [session.id for session in page.sessions]
            before = page.next
            if before is None:
                break
        assert seen == made[::-1]

    async def test_what_the_state_does_not_allow_is_refused_with_4007(
        self, house: Deployment, alice: Person
    ) -> None:
        await house.start(*ALL)
        session = SessionPath(await alice.create())
        with alice.speaking() as client:
            for route in (contract.STOP, contract.PAUSE, contract.RESUME):
                with pytest.raises(Conflict) as refused:
                    await client.call(route, session)
                assert refused.value.code.number == 4007
            with pytest.raises(Conflict):
                await client.call(contract.MANIFEST, session)
            with pytest.raises(Conflict):
                await anext(client.stream(contract.BUNDLE, BundleQuery(session.session)))

    async def test_values_out_of_range_name_their_field(self, house: Deployment, alice: Person) -> None:
        await house.start(*ALL)
        with pytest.raises(Invalid, match="frame_rate"):
            await alice.create(frame_rate=121)


class TestARecording:
    async def test_is_proved_by_its_bundle(self, house: Deployment, alice: Person, screen: Screen) -> None:
        await start_all(house)
        session = await begin(alice, screen)
        await asyncio.sleep(2)
        with alice.speaking() as client:
            assert (await client.call(contract.STOP, SessionPath(session))).state in {"stopped", "processing"}
        ended = await completed(alice, session)
        assert (ended.state, ended.end_reason) == ("completed", "stopped")
        report = await proved(house, alice, session)
        assert report.outcome is Outcome.VERIFIED, report.failure
        with alice.speaking() as client:
            page = await client.call(contract.CHUNKS, contract.ChunksQuery(session=session))
            proof = await client.call(contract.PROOF, contract.ProofQuery(session))
        assert page.total == ended.chunks == len(page.chunks)
        assert proof.anchored

    async def test_can_be_paused_and_resumed(self, house: Deployment, alice: Person, screen: Screen) -> None:
        await start_all(house)
        session = await begin(alice, screen)
        with alice.speaking() as client:
            assert (await client.call(contract.PAUSE, SessionPath(session))).state == "paused"
            assert (await client.call(contract.RESUME, SessionPath(session))).state == "recording"
            await asyncio.sleep(1.5)
            await client.call(contract.STOP, SessionPath(session))
        assert (await completed(alice, session)).state == "completed"
        report = await proved(house, alice, session)
        assert report.manifest is not None
        assert [gap.cause for gap in report.manifest.gaps] == ["paused"]

    async def test_of_a_display_that_is_not_there_fails_and_says_why(
        self, house: Deployment, alice: Person
    ) -> None:
        await start_all(house)
        session = await alice.create()
        body = contract.StartSession(display=":4242", cookie="0" * 32)
        with alice.speaking() as client, pytest.raises(LucidError, match="cannot be recorded"):
            await client.call(contract.START, SessionPath(session), body, seconds=30)
        failed = await alice.get(session)
        assert failed.state == "failed"
        assert ":4242" in (failed.error or "")

    async def test_whose_recorder_is_lost_is_closed_without_it_and_says_what_is_unattested(
        self, house: Deployment, alice: Person, screen: Screen
    ) -> None:
        await start_all(house)
        session = await begin(alice, screen)
        await asyncio.sleep(2.5)
        await house.stop("session-recorder")
        ended = await completed(alice, session)
        assert (ended.state, ended.end_reason) == ("completed", "recorder_lost")
        report = await proved(house, alice, session)
        assert report.outcome is Outcome.VERIFIED, report.failure
        assert report.manifest is not None
        assert 0 <= report.manifest.attested_count <= report.manifest.count
        await house.start("session-recorder")
        late = await house.client("session-api")

        async def given_up() -> bool:
            return (await late.call(recorder.GET, SessionPath(session))).state == "failed"

        await until(given_up)
        spool = house.directory / "state/session-recorder/spool" / session
        assert list(spool.glob("*.json"))
        with alice.speaking() as client:
            await client.call(contract.ERASE, SessionPath(session))

        async def deleted() -> bool:
            return (await alice.get(session)).state == "deleted"

        await until(deleted)
        assert not spool.exists()
