"""session-api's other answers: filters, changes, statistics, manifests, and downloads by parts."""

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lucid.contracts import auth_service as auth
from lucid.contracts import session_api as contract
from lucid.contracts.types import SessionPath
from lucid.evidence import dsse, statements
from lucid.evidence import policy as trust_policies
from lucid.evidence.manifest import Manifest
from lucid.kit.errors import Code, Conflict, Forbidden, Invalid, LucidError, NotFound
from lucid.kit.routes import NOTHING, Route
from lucid.kit.tls import internal_name
from lucid.sessions.policy import policy_sha256
from lucid.sessions.states import SESSION
from tests.deployment import Deployment, deployment
from tests.sessions.kept import agree, keep, rewrite, video
from tests.sessions.people import Person, administrator, person
from tests.sessions.screens import Screen
from tests.sessions.test_api import ALL, SETTINGS, begin, completed
from tests.sessions.test_policy import OWNER, TRUST
from tests.sessions.waiting import until


@pytest.fixture
async def house(tmp_path: Path, mongodb_url: str, redis_url: str) -> AsyncIterator[Deployment]:
    """All of the session cluster and what it needs; nobody gives a recorder up."""
    settings = SETTINGS | {"RECORDER_LOST_SECONDS": "300"}
    async with deployment(tmp_path, mongodb_url, redis_url, **settings) as made:
        await made.start("auth-service", "blockchain-engine", "session-anchoring", *ALL)
        yield made


@pytest.fixture
async def alice(house: Deployment) -> Person:
    return await person(house, "alice")


@pytest.fixture
async def admin(house: Deployment) -> Person:
    return await administrator(house)


async def ask(who: Person, route: Route[Any, Any, Any], params: msgspec.Struct, body: object = None) -> Any:
    """One call, waited for as long as the slowest may take."""
    with who.speaking() as client:
        return await client.call(route, params, body, seconds=30)


async def listed(who: Person, **query: Any) -> list[str]:
    page = await ask(who, contract.LIST, contract.SessionsQuery(**query))
    return [session.id for session in page.sessions]


class TestTheList:
    async def test_is_narrowed_by_state_and_time(self, house: Deployment, alice: Person) -> None:
        first, second, third = [await alice.create(name=name) for name in ("a", "b", "c")]
        await rewrite(house, second, state="failed")
        assert await listed(alice, state="failed") == [second]
        assert await listed(alice, state="created") == [third, first]
        made = [(await alice.get(session)).created_ms for session in (first, second, third)]
        assert await listed(alice, from_ms=made[1]) == [third, second]
        assert await listed(alice, to_ms=made[1]) == [first]
        assert await listed(alice, from_ms=made[1], to_ms=made[2], state="failed") == [second]
        assert await listed(alice, from_ms=made[2] + 1) == []

    async def test_pages_go_on_within_the_filters(self, house: Deployment, alice: Person) -> None:
        made = [await alice.create(name=str(n)) for n in range(5)]
        for session in made[::2]:
            await rewrite(house, session, state="failed")
        with alice.speaking() as client:
            page = await client.call(contract.LIST, contract.SessionsQuery(limit=2, state="failed"))
            rest = await client.call(
                contract.LIST, contract.SessionsQuery(limit=2, state="failed", before=page.next)
            )
        assert [session.id for session in (*page.sessions, *rest.sessions)] == made[::-2]
        assert rest.next is None

    async def test_of_somebody_else_is_for_admins(self, alice: Person, admin: Person) -> None:
        mine = await alice.create(name="mine")
        await admin.create(name="other")
        owner, other = [(await ask(who, auth.ME, NOTHING)).id for who in (alice, admin)]
        assert await listed(admin, owner=owner) == [mine]
        assert await listed(alice, owner=owner) == [mine]
        with pytest.raises(Forbidden):
            await listed(alice, owner=other)

    @pytest.mark.parametrize("limit", [0, 101])
    async def test_has_one_to_a_hundred_rows(self, alice: Person, limit: int) -> None:
        with pytest.raises(Invalid, match="limit"):
            await listed(alice, limit=limit)


class TestAChange:
    async def test_renames_at_any_time_until_deletion(self, house: Deployment, alice: Person) -> None:
        session = await alice.create(name="old")
        before = await alice.get(session)
        for number, state in enumerate(SESSION.transitions):
            await rewrite(house, session, state=state)
            change = ask(
                alice, contract.UPDATE, SessionPath(session), contract.UpdateSession(name=str(number))
            )
            if state == "deleted":
                with pytest.raises(Conflict) as refused:
                    await change
                assert refused.value.code is Code.SESSION_STATE
            else:
                assert (await change).name == str(number)
        assert (await alice.get(session)).policy_sha256 == before.policy_sha256

    async def test_of_how_it_is_recorded_makes_the_policy_s_hash_anew(self, alice: Person) -> None:
        session, like = await alice.create(frame_rate=10), await alice.create(frame_rate=25, quality="low")
        change = contract.UpdateSession(frame_rate=25, quality="low")
        changed = await ask(alice, contract.UPDATE, SessionPath(session), change)
        assert (changed.frame_rate, changed.quality) == (25, "low")
        assert changed.policy_sha256 == (await alice.get(like)).policy_sha256
        assert await alice.get(session) == changed

    async def test_the_policy_s_hash_names_for_how_long_the_recording_is_kept(self, alice: Person) -> None:
        short, long = [await alice.get(await alice.create(retention_days=days)) for days in (1, 2)]
        assert short.policy_sha256 != long.policy_sha256
        policy = b'{"frame_rate":30,"max_bytes":10737418240,"quality":"high","retention_days":1}'
        assert short.policy_sha256 == hashlib.sha256(policy).hexdigest()

    async def test_leaves_the_trust_policy_in_the_hash(self, house: Deployment, alice: Person) -> None:
        session = await alice.create(frame_rate=10)
        envelope = trust_policies.sign(TRUST, OWNER).decode()
        record = {"frame_rate": 10, "quality": "high", "max_bytes": 10 * 1024**3, "retention_days": 30}
        agreed = policy_sha256(record | {"trust": envelope})
        assert await agree(house, session, envelope) == agreed
        with pytest.raises(Conflict, match="owner's signed policy"):
            await ask(alice, contract.UPDATE, SessionPath(session), contract.UpdateSession(frame_rate=25))
        changed = await ask(alice, contract.UPDATE, SessionPath(session), contract.UpdateSession(name="desk"))
        assert (changed.name, changed.policy_sha256) == ("desk", agreed)

    async def test_of_nothing_changes_nothing(self, alice: Person) -> None:
        session = await alice.create(name="as it is")
        same = await ask(alice, contract.UPDATE, SessionPath(session), contract.UpdateSession())
        assert same == await alice.get(session)

    async def test_is_not_for_others(self, house: Deployment, alice: Person) -> None:
        session, bob = await alice.create(name="mine"), await person(house, "bob")
        for route, body in (
            (contract.UPDATE, contract.UpdateSession(name="his")),
            (contract.STATISTICS, None),
        ):
            with pytest.raises(NotFound):
                await ask(bob, route, SessionPath(session), body)
        assert (await alice.get(session)).name == "mine"


VERBS: Mapping[str, tuple[Route[Any, Any, Any], object, set[str]]] = {
    "start": (contract.START, contract.StartSession(display=":4242", cookie="0" * 32), {"created"}),
    "pause": (contract.PAUSE, None, {"recording"}),
    "resume": (contract.RESUME, None, {"paused"}),
    "stop": (contract.STOP, None, {"recording", "paused"}),
    "change": (contract.UPDATE, contract.UpdateSession(frame_rate=5), {"created"}),
    "erase": (contract.ERASE, None, {"completed", "failed"}),
    "manifest": (contract.MANIFEST, None, set()),
}
"""What may be asked of a session, and the states in which it is not refused. None of these is recorded."""


class TestEveryStateAndVerb:
    @pytest.mark.timeout(60)
    async def test_what_is_not_listed_is_refused_with_4007_and_changes_nothing(
        self, house: Deployment, alice: Person
    ) -> None:
        await until(lambda: house.ready("session-recorder"))
        for verb, (route, body, allowed) in VERBS.items():
            for state in SESSION.transitions:
                session = await alice.create()
                await rewrite(house, session, state=state)
                outcome = await self.outcome(alice, route, session, body)
                assert (outcome is not Code.SESSION_STATE) == (state in allowed), f"{verb} when {state}"
                if state not in allowed:
                    assert (await alice.get(session)).state == state, f"{verb} when {state}"

    @staticmethod
    async def outcome(who: Person, route: Route[Any, Any, Any], session: str, body: object) -> Code | None:
        try:
            await ask(who, route, SessionPath(session), body)
        except LucidError as error:
            return error.code
        return None


async def fetch(
    house: Deployment, who: Person, path: str, **headers: str
) -> tuple[int, Mapping[str, str], bytes]:
    """A download as the gateway passes it on: status, headers, bytes."""
    with who.speaking() as client:
        head = {
            "Authorization": f"Bearer {who._token}",
            **{k.replace("_", "-"): v for k, v in headers.items()},
        }
        url = house.urls(["session-api"])["session-api"] + path
        async with client.session.get(
            url, headers=head, server_hostname=internal_name("session-api")
        ) as answer:
            return answer.status, answer.headers, await answer.read()


@pytest.fixture
async def recorded(house: Deployment, alice: Person, screen: Screen) -> str:
    """A completed session of two seconds with a pause in it."""
    await until(lambda: house.ready("session-recorder"))
    session = await begin(alice, screen)
    await asyncio.sleep(1)
    for route in (contract.PAUSE, contract.RESUME):
        await ask(alice, route, SessionPath(session))
        await asyncio.sleep(1)
    await ask(alice, contract.STOP, SessionPath(session))
    assert (await completed(alice, session)).state == "completed"
    return session


class TestARecordedSession:
    async def test_is_told_in_figures_and_by_its_manifest(
        self, house: Deployment, alice: Person, recorded: str
    ) -> None:
        session = await alice.get(recorded)
        found = await ask(alice, contract.STATISTICS, SessionPath(recorded))
        assert (found.state, found.chunks, found.raw_bytes) == (
            "completed",
            session.chunks,
            session.raw_bytes,
        )
        assert session.started_ms is not None
        assert session.ended_ms is not None
        assert found.duration_ms == session.ended_ms - session.started_ms
        assert (found.gaps, found.unanchored_ms) == (1, 0)
        assert 0 < found.gap_ms < found.duration_ms
        assert found.anchors == found.final_anchors >= 2
        assert found.ratio == round(found.raw_bytes / found.sealed_bytes, 3)
        delays = found.stored_after
        assert delays.median_ms <= delays.p95_ms <= delays.longest_ms < 30_000

        page = await ask(alice, contract.PROOF, contract.ProofQuery(recorded, limit=1, offset=1))
        everything = await ask(alice, contract.PROOF, contract.ProofQuery(recorded, limit=100))
        assert (page.total, page.anchors) == (everything.total, everything.anchors[1:2])
        entry = next(row.entry for row in everything.anchors if row.kind == "manifest")
        told = await ask(alice, contract.MANIFEST_ENTRY, contract.ManifestPath(entry))
        assert (told.session, told.state) == (recorded, "final")
        assert statements.read(dsse.parse(told.envelope.encode()), Manifest).count == session.chunks
        bob = await person(house, "bob")
        other = next(row.entry for row in everything.anchors if row.kind == "anchor")
        for who, name in ((bob, entry), (alice, other), (alice, "0" * 64)):
            with pytest.raises(NotFound, match=f"there is no manifest {name}"):
                await ask(who, contract.MANIFEST_ENTRY, contract.ManifestPath(name))


class TestADownload:
    async def test_by_parts_makes_the_whole(self, house: Deployment, alice: Person) -> None:
        session = await keep(house, alice)
        for kind in ("replay", "bundle"):
            path = f"/sessions/{session}/{kind}"
            status, headers, first = await fetch(house, alice, path, Range="bytes=0-99")
            assert (status, len(first)) == (206, 100)
            total, tag = int(headers["Content-Range"].rpartition("/")[2]), headers["ETag"]
            whole = first
            for begin_at, end in itertools.pairwise((100, 101, total // 3, total - 1500, total)):
                span = {"Range": f"bytes={begin_at}-{end - 1}", "If_Range": tag}
                status, _, piece = await fetch(house, alice, path, **span)
                assert (status, len(piece)) == (206, end - begin_at)
                whole += piece
            if kind == "replay":
                assert whole == b"".join(b"".join(chunk.parts) for chunk in video())

    async def test_of_a_bundle_goes_on_with_the_same_bytes_although_the_chain_has_grown(
        self, house: Deployment, alice: Person
    ) -> None:
        session = await keep(house, alice)
        path = f"/sessions/{session}/bundle"
        _, headers, whole = await fetch(house, alice, path)
        tag = headers["ETag"]

        async def newer() -> bool:
            return (await fetch(house, alice, path, Range="bytes=0-0"))[1]["ETag"] != tag

        await until(newer)
        status, resumed, rest = await fetch(house, alice, path, Range="bytes=1000-", If_Range=tag)
        assert (status, resumed["ETag"], rest) == (206, tag, whole[1000:])

    async def test_of_a_bundle_with_another_tag_begins_anew(self, house: Deployment, alice: Person) -> None:
        session = await keep(house, alice)
        path = f"/sessions/{session}/bundle?chunks=false"
        _, headers, _ = await fetch(house, alice, path)
        height, _, digest = headers["ETag"].strip('"').partition("-")
        others = (f'"{height}-{"0" * 64}"', f'"999999-{digest}"', f'"0-{digest}"', '"nonsense"')
        for tag in others:
            status, _, content = await fetch(house, alice, path, Range="bytes=10-", If_Range=tag)
            assert status == 200
            assert content.startswith(b"lucid-bundle.json")
        _, with_chunks, _ = await fetch(house, alice, f"/sessions/{session}/bundle", Range="bytes=0-0")
        assert with_chunks["ETag"] != headers["ETag"]
