"""Sessions of remote desktops: the rdp cluster begins and ends them, on whichever host the desktop is."""

import asyncio
import io
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lucid import catalog
from lucid.contracts import auth_service as auth
from lucid.contracts import blockchain_engine as engine
from lucid.contracts import session_api as contract
from lucid.contracts import session_recorder as recorder
from lucid.contracts.managed_sessions import CreateManaged, StartManaged
from lucid.contracts.session_access import BundleQuery
from lucid.contracts.session_recorder import StopRecording
from lucid.contracts.types import SessionPath
from lucid.evidence import policy as policies
from lucid.evidence import trust as trust_file
from lucid.evidence.policy import TrustPolicy
from lucid.evidence.steps import Outcome, Report
from lucid.evidence.verify import verify
from lucid.kit.client import ServiceClient
from lucid.kit.errors import Code, Conflict, Forbidden, Invalid, LucidError, NotFound, Unavailable
from lucid.kit.routes import NOTHING
from tests.deployment import Deployment, deployment
from tests.sessions.kept import rewrite
from tests.sessions.people import Person, person
from tests.sessions.screens import Screen
from tests.sessions.waiting import until

SETTINGS = {
    "BLOCK_TIME_SECONDS": "0.3",
    "ANCHOR_INTERVAL_SECONDS": "1",
    "ANCHOR_POLL_SECONDS": "0.1",
    "RECORDER_LOST_SECONDS": "2",
}
CHAIN = ("auth-service", "blockchain-engine", "session-anchoring")
BEHIND = ("session-storage", "chunk-processor", "session-pipeline")
MANAGER, CONTROLLER = "rdp-manager", "session-controller"
OWNER = Ed25519PrivateKey.generate()
POLICY = TrustPolicy(name="desk", owner_key=OWNER.public_key().public_bytes_raw().hex())
TRUST = policies.sign(POLICY, OWNER).decode()


@pytest.fixture(autouse=True)
def callers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalogue in which the two services that call here exist, and may."""
    known = catalog.load()
    like = known.services["rate-limiter"]
    added = {
        name: msgspec.structs.replace(like, name=name, calls=("session-api",))
        for name in (MANAGER, CONTROLLER)
        if name not in known.services
    }
    found = msgspec.structs.replace(known, services=known.services | added)
    monkeypatch.setattr(catalog, "load", lambda: found)


class Cluster:
    """The rdp cluster, as session-api hears of it."""

    def __init__(self, house: Deployment, manager: ServiceClient, controller: ServiceClient) -> None:
        self.house = house
        self.manager = manager
        self.controller = controller

    async def create(self, owner: str, **more: Any) -> contract.Session:
        """A new session on rdp2."""
        given: dict[str, Any] = {
            "session": str(uuid.uuid4()), "owner": owner, "name": "desk", "frame_rate": 10, "quality": "low",
            "max_bytes": 1024**3, "retention_days": 7, "trust": TRUST, "host": "rdp2",
        }  # fmt: skip
        body = CreateManaged(**given | more)
        return await self.manager.call(contract.CREATE_MANAGED, NOTHING, body)

    async def start(self, session: str, screen: Screen, host: str = "rdp2") -> contract.Session:
        """Begins the recording."""
        body = StartManaged(display=f":{screen.number}", cookie=screen.cookie.hex(), host=host)
        return await self.controller.call(contract.START_MANAGED, SessionPath(session), body, seconds=30)

    async def stop(self, session: str) -> contract.Session:
        """Ends the recording."""
        return await self.controller.call(contract.STOP_MANAGED, StopRecording(session))

    async def get(self, session: str) -> contract.Session:
        """The session."""
        return await self.manager.call(contract.GET_MANAGED, SessionPath(session))

    async def ended(self, session: str) -> contract.Session:
        """The session, once nothing more happens to it."""

        async def done() -> bool:
            return (await self.get(session)).state in {"completed", "failed"}

        await until(done, 30)
        return await self.get(session)

    async def recorders(self) -> list[str]:
        """Starts what records, on both hosts."""
        await self.house.start(*BEHIND, "session-recorder")
        await self.house.start_on("rdp2", "session-recorder")
        await self.house.start("session-api")
        await until(lambda: self.house.ready("session-recorder"))
        return list(self.manager.hosts("session-recorder"))


@pytest.fixture
async def house(tmp_path: Path, mongodb_url: str, redis_url: str) -> AsyncIterator[Deployment]:
    """Two hosts of group rdp; what records is started by tests that need it."""
    async with deployment(tmp_path, mongodb_url, redis_url, **SETTINGS) as made:
        made.add_host("session-recorder", "rdp2")
        await made.start(*CHAIN)
        yield made


@pytest.fixture
async def cluster(house: Deployment) -> Cluster:
    return Cluster(house, await house.client(MANAGER), await house.client(CONTROLLER))


@pytest.fixture
async def alice(house: Deployment) -> Person:
    return await person(house, "alice")


async def account(who: Person) -> str:
    with who.speaking() as client:
        return (await client.call(auth.ME, NOTHING)).id


async def proved(alice: Person, session: str) -> Report:
    with alice.speaking() as client:
        bundle = b"".join([p async for p in client.stream(contract.BUNDLE, BundleQuery(session))])
        trust = b"".join([p async for p in client.stream(engine.TRUST, NOTHING)])
    return verify(io.BytesIO(bundle), trust_file.parse(trust))


class TestBooks:
    async def test_the_same_again_is_the_same_session_and_anything_else_a_conflict(
        self, house: Deployment, cluster: Cluster, alice: Person
    ) -> None:
        await house.start("session-api")
        owner, name = await account(alice), str(uuid.uuid4())
        first = await cluster.create(owner, session=name)
        assert (first.id, first.state, first.owner, first.host) == (name, "created", owner, "rdp2")
        assert await cluster.create(owner, session=name) == first
        both = await asyncio.gather(*(cluster.create(owner, session=str(uuid.UUID(int=7))) for _ in range(4)))
        assert len({each.created_ms for each in both}) == 1
        for more in (
            {"name": "other"},
            {"frame_rate": 11},
            {"owner": str(uuid.uuid4())},
            {"retention_days": 8},
        ):
            with pytest.raises(Conflict) as refused:
                await cluster.create(**{"owner": owner, "session": name} | more)
            assert refused.value.code is Code.CONFLICT
        own = await alice.create(name="her own")
        with pytest.raises(Conflict):
            await cluster.create(owner, session=own)
        with pytest.raises(NotFound, match="no managed session"):
            await cluster.controller.call(contract.GET_MANAGED, SessionPath(own))
        with pytest.raises(NotFound, match="no managed session"):
            await cluster.controller.call(contract.STOP_MANAGED, StopRecording(own))
        assert (await alice.get(name)).host == "rdp2"
        assert (await alice.get(own)).host is None

    async def test_an_unknown_host_and_what_is_no_envelope_are_refused_with_their_field(
        self, house: Deployment, cluster: Cluster
    ) -> None:
        await house.start("session-api")
        owner = str(uuid.uuid4())
        with pytest.raises(Invalid, match=r"no recorder runs on rdp9; the hosts are .*rdp2") as refused:
            await cluster.create(owner, host="rdp9")
        assert refused.value.details["field"] == "host"
        with pytest.raises(Invalid, match="trust is no DSSE envelope") as refused:
            await cluster.create(owner, trust="{}")
        assert refused.value.details["field"] == "trust"

    async def test_only_the_cluster_may_ask_and_each_of_it_for_its_own(
        self, house: Deployment, cluster: Cluster, alice: Person
    ) -> None:
        await house.start("session-api")
        made = await cluster.create(await account(alice))
        path = SessionPath(made.id)
        gateway = await house.client("api-gateway")
        start = StartManaged(display=":1", cookie="0" * 32, host="rdp2")
        for who in (gateway, cluster.manager):
            with pytest.raises(Forbidden):
                await who.call(contract.START_MANAGED, path, start)
        with pytest.raises(Forbidden):
            await gateway.call(contract.GET_MANAGED, path)
        with pytest.raises(Forbidden):
            await gateway.call(contract.STOP_MANAGED, StopRecording(made.id))
        body = CreateManaged(
            session=str(uuid.uuid4()), owner=made.owner, name="", frame_rate=1, quality="low",
            max_bytes=1024**2, retention_days=1, trust=TRUST, host="rdp2",
        )  # fmt: skip
        for who in (gateway, cluster.controller):
            with pytest.raises(Forbidden):
                await who.call(contract.CREATE_MANAGED, NOTHING, body)
        assert (await cluster.get(made.id)).state == "created"
        # Whoever opens desktops gives up what it has opened and no host began.
        assert (await cluster.manager.call(contract.STOP_MANAGED, StopRecording(made.id))).state == "failed"

    async def test_its_owner_may_name_it_and_neither_steer_nor_change_it(
        self, house: Deployment, cluster: Cluster, alice: Person
    ) -> None:
        await house.start("session-api")
        made = await cluster.create(await account(alice))
        path = SessionPath(made.id)
        with alice.speaking() as client:
            body = contract.StartSession(display=":1", cookie="0" * 32)
            with pytest.raises(Conflict, match="end the RDP session"):
                await client.call(contract.START, path, body)
            for route in (contract.STOP, contract.PAUSE, contract.RESUME):
                with pytest.raises(Conflict, match="end the RDP session") as refused:
                    await client.call(route, path)
                assert refused.value.details["managed"] is True
            with pytest.raises(Conflict, match="owner's signed policy"):
                await client.call(contract.UPDATE, path, contract.UpdateSession(frame_rate=1))
            renamed = await client.call(contract.UPDATE, path, contract.UpdateSession(name="mine"))
            page = await client.call(contract.LIST, contract.SessionsQuery())
        assert (renamed.name, renamed.policy_sha256) == ("mine", made.policy_sha256)
        assert page.sessions == (renamed,)
        assert (await cluster.get(made.id)).state == "created"

    async def test_one_that_ended_before_it_began_does_not_begin(
        self, house: Deployment, cluster: Cluster, alice: Person, screen: Screen
    ) -> None:
        await house.start("session-api")
        made = await cluster.create(await account(alice))
        at_once = await asyncio.gather(*(cluster.stop(made.id) for _ in range(4)))
        for ended in (*at_once, await cluster.stop(made.id)):
            assert (ended.state, ended.error) == ("failed", "ended before it was started")
        with pytest.raises(Conflict):
            await cluster.start(made.id, screen)


class TestARecording:
    async def test_is_made_by_its_host_s_recorder_and_proved(
        self, house: Deployment, cluster: Cluster, alice: Person, screen: Screen
    ) -> None:
        here, there = await cluster.recorders()
        made = await cluster.create(await account(alice))
        answers = await asyncio.gather(*(cluster.start(made.id, screen) for _ in range(3)))
        assert {each.state for each in answers} == {"recording"}
        assert (await cluster.start(made.id, screen)).started_ms == answers[0].started_ms
        await rewrite(house, made.id, state="starting")  # as where session-api ended before it was told
        assert (await cluster.start(made.id, screen)).started_ms == answers[0].started_ms
        api, path = await house.client("session-api"), SessionPath(made.id)
        assert (await api.call(recorder.GET, path, host=there)).chunks > 0
        with pytest.raises(NotFound):
            await api.call(recorder.GET, path, host=here)
        with pytest.raises(Conflict, match="was started on rdp2") as refused:
            await cluster.start(made.id, screen, host=here)
        assert refused.value.code is Code.CONFLICT
        with alice.speaking() as client:
            for route in (contract.STOP, contract.PAUSE):
                with pytest.raises(Conflict, match="end the RDP session"):
                    await client.call(route, path)
        await asyncio.sleep(1.5)
        for _ in range(3):
            assert (await cluster.stop(made.id)).state in {"stopped", "processing", "completed"}
        ended = await cluster.ended(made.id)
        assert (ended.state, ended.end_reason, ended.host) == ("completed", "stopped", "rdp2")
        assert (await cluster.stop(made.id)).state == "completed"
        report = await proved(alice, made.id)
        assert report.outcome is Outcome.VERIFIED, report.failure
        assert report.manifest is not None
        assert (report.manifest.host, report.manifest.policy_sha256) == ("rdp2", made.policy_sha256)

    async def test_goes_on_beside_one_of_another_host_that_died_which_is_closed_without_it(
        self, house: Deployment, cluster: Cluster, alice: Person, screen: Screen
    ) -> None:
        here, there = await cluster.recorders()
        owner = await account(alice)
        dying, living = await cluster.create(owner), await cluster.create(owner, host=here)
        await cluster.start(dying.id, screen)
        await cluster.start(living.id, screen, host=here)
        await asyncio.sleep(2.5)
        await house.stop(f"session-recorder@{there}")
        with pytest.raises(Unavailable):  # less time than until it is given up
            await cluster.controller.call(contract.STOP_MANAGED, StopRecording(dying.id), seconds=1)
        ended = await cluster.ended(dying.id)
        assert (ended.state, ended.end_reason) == ("completed", "recorder_lost")
        report = await proved(alice, dying.id)
        assert report.outcome is Outcome.VERIFIED, report.failure
        assert report.manifest is not None
        assert report.manifest.host == "rdp2"
        assert (await cluster.get(living.id)).state == "recording"
        await cluster.stop(living.id)
        assert (await cluster.ended(living.id)).state == "completed"
        # What is left in the spool is erased there, once the host is back.
        await house.start_on(there, "session-recorder")
        api = await house.client("session-api")

        async def given_up() -> bool:
            return (await api.call(recorder.GET, SessionPath(dying.id), host=there)).state == "failed"

        await until(given_up)
        spool = house.directory / f"state/session-recorder@{there}/spool" / dying.id
        assert list(spool.glob("*.json"))
        with alice.speaking() as client:
            await client.call(contract.ERASE, SessionPath(dying.id))

        async def deleted() -> bool:
            return (await alice.get(dying.id)).state == "deleted"

        await until(deleted)
        assert not spool.exists()

    async def test_of_a_display_that_is_not_there_fails_and_says_why(
        self, cluster: Cluster, alice: Person
    ) -> None:
        await cluster.recorders()
        made = await cluster.create(await account(alice))
        body = StartManaged(display=":4242", cookie="0" * 32, host="rdp2")
        with pytest.raises(LucidError, match="cannot be recorded"):
            await cluster.controller.call(contract.START_MANAGED, SessionPath(made.id), body, seconds=30)
        failed = await cluster.get(made.id)
        assert failed.state == "failed"
        assert ":4242" in (failed.error or "")
        assert (await cluster.stop(made.id)).state == "failed"
