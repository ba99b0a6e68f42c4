"""What becomes of recordings: access on record, disclosure, legal hold, retention, erasure."""

import asyncio
import io
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from functools import partial

import pytest
import pytest_asyncio

from lucid.contracts import blockchain_engine as engine
from lucid.contracts import chunk_processor as processor
from lucid.contracts import session_access as access
from lucid.contracts import session_anchoring as anchoring
from lucid.contracts import session_api as contract
from lucid.contracts import session_storage as storage
from lucid.contracts.types import ChunkPath, SessionPath
from lucid.evidence import dsse, statements
from lucid.evidence import trust as trust_file
from lucid.evidence.bundle import BundleReader
from lucid.evidence.life import Access, Erasure, Hold
from lucid.evidence.steps import Outcome
from lucid.evidence.verify import verify
from lucid.kit.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from lucid.kit.routes import NOTHING, Nothing, P, Route, Stream
from lucid.sessions.retention import DAY_MS
from tests.blocks.world import START_MS
from tests.deployment import Deployment, deployment
from tests.sessions.kept import SERVICES, keep, key_record, rewrite, video
from tests.sessions.people import Person, administrator, person
from tests.sessions.waiting import until

SETTINGS = {
    "BLOCK_TIME_SECONDS": "0.1",
    "ANCHOR_POLL_SECONDS": "0.05",
    "RETENTION_INTERVAL_SECONDS": "0.3",
    "KEY_BACKUP_DAYS": "7",
}

pytestmark = pytest.mark.asyncio(loop_scope="module")
for_all = partial(pytest_asyncio.fixture, scope="module", loop_scope="module")
"""One house for all tests of this file: they use sessions of their own, and start what they stop."""


@for_all()
async def house(
    tmp_path_factory: pytest.TempPathFactory, mongodb_url: str, redis_url: str
) -> AsyncIterator[Deployment]:
    directory = tmp_path_factory.mktemp("house")
    async with deployment(directory, mongodb_url, redis_url, **SETTINGS) as made:
        await made.start("auth-service", "blockchain-engine", "session-anchoring", *SERVICES)
        yield made


@for_all()
async def alice(house: Deployment) -> Person:
    return await person(house, "alice")


@for_all()
async def bob(house: Deployment) -> Person:
    return await person(house, "bob")


@for_all()
async def admin(house: Deployment) -> Person:
    return await administrator(house)


@pytest_asyncio.fixture(loop_scope="module")
async def session(house: Deployment, alice: Person) -> str:
    return await keep(house, alice)


@asynccontextmanager
async def away(house: Deployment, *services: str) -> AsyncIterator[None]:
    """Services are not there for a while."""
    await house.stop(*services)
    try:
        yield
    finally:
        await house.start(*services)


async def fetch(who: Person, route: Route[P, Nothing, Stream], params: P, *, seconds: float = 60) -> bytes:
    with who.speaking() as client:
        return b"".join([piece async for piece in client.stream(route, params, seconds=seconds)])


def recording(who: Person, session: str) -> list[Coroutine[None, None, bytes]]:
    """Every way to be given something of a recording, not yet asked."""
    stretch = access.DisclosureQuery(session, START_MS, START_MS + 1)
    return [
        fetch(who, contract.REPLAY, SessionPath(session), seconds=2),
        fetch(who, contract.BUNDLE, access.BundleQuery(session), seconds=2),
        fetch(who, contract.DISCLOSURE, stretch, seconds=2),
        fetch(who, contract.WATCH, access.WatchQuery(session), seconds=2),
    ]


async def accesses(who: Person, session: str) -> tuple[access.AccessRow, ...]:
    with who.speaking() as client:
        return (await client.call(contract.ACCESSES, access.AccessQuery(session))).accesses


async def erase(who: Person, session: str) -> contract.Session:
    with who.speaking() as client:
        return await client.call(contract.ERASE, SessionPath(session))


async def set_hold(who: Person, session: str, *, held: bool) -> contract.Session:
    with who.speaking() as client:
        return await client.call(
            contract.HOLD,
            SessionPath(session),
            access.SetHold(held=held, reason="case 7"),
            seconds=2,
        )


async def deleted(who: Person, session: str) -> contract.Session:
    async def done() -> bool:
        return (await who.get(session)).state == "deleted"

    await until(done, 30)
    return await who.get(session)


async def verified(house: Deployment, who: Person, bundle: bytes) -> Outcome:
    trust = trust_file.parse(await fetch(who, engine.TRUST, NOTHING))
    report = verify(io.BytesIO(bundle), trust)
    assert report.failure is None, report.failure
    return report.outcome


class TestAccess:
    async def test_to_a_recording_is_on_the_log_with_who_what_and_which_stretch(
        self, house: Deployment, alice: Person, session: str, admin: Person
    ) -> None:
        await fetch(alice, contract.REPLAY, SessionPath(session))
        await fetch(admin, contract.BUNDLE, access.BundleQuery(session))
        rows = await accesses(alice, session)
        assert [row.what for row in rows] == ["export", "replay"]
        assert rows[0].who != rows[1].who == (await alice.get(session)).owner
        assert (rows[1].start_ms, rows[1].end_ms) == (START_MS, video()[-1].end_ms)

        async def final() -> bool:
            return {row.state for row in await accesses(alice, session)} == {"final"}

        await until(final)
        client = await house.client("session-api")
        entry = await client.call(anchoring.STATUS, anchoring.AnchorPath(rows[0].entry))
        said = statements.read(dsse.parse(entry.envelope.encode()), Access)
        assert (said.session, said.who, said.what) == (session, rows[0].who, "export")

    async def test_is_refused_while_it_cannot_be_put_on_record(
        self, house: Deployment, alice: Person, session: str
    ) -> None:
        async with away(house, "session-anchoring"):
            for asked in recording(alice, session):
                with pytest.raises(Unavailable):
                    await asked

    async def test_to_the_receipt_is_not_access_to_the_recording(
        self, house: Deployment, alice: Person, session: str
    ) -> None:
        receipt = await fetch(alice, contract.RECEIPT, SessionPath(session))
        assert await verified(house, alice, receipt) is Outcome.VERIFIED
        assert not list(BundleReader(io.BytesIO(receipt)).chunks())
        assert await accesses(alice, session) == ()

    async def test_records_are_for_the_owner_and_admins_and_come_in_pages(
        self, alice: Person, session: str, bob: Person
    ) -> None:
        with pytest.raises(NotFound):
            await accesses(bob, session)
        for _ in range(3):
            await fetch(alice, contract.REPLAY, SessionPath(session))
        seen: list[str] = []
        before: int | None = None
        while True:
            with alice.speaking() as client:
                page = await client.call(contract.ACCESSES, access.AccessQuery(session, 2, before))
            seen += [row.entry for row in page.accesses]
            if (before := page.next) is None:
                break
        assert len(seen) == len(set(seen)) == 3


class TestDisclosure:
    async def test_opens_the_stretch_and_nothing_else(
        self, house: Deployment, alice: Person, session: str
    ) -> None:
        chunks = video()
        stretch = access.DisclosureQuery(session, chunks[2].start_ms + 1, chunks[3].start_ms + 1)
        bundle = await fetch(alice, contract.DISCLOSURE, stretch)
        assert await verified(house, alice, bundle) is Outcome.VERIFIED
        reader = BundleReader(io.BytesIO(bundle))
        assert len(reader.parts.leaves) == len(chunks)
        assert [key.index for key in reader.parts.keys] == [2, 3]
        members = [(chunk.index, b"".join(chunk.pieces)) for chunk in reader.chunks()]
        assert [index for index, _ in members] == [2, 3]
        (row,) = await accesses(alice, session)
        assert (row.what, row.start_ms, row.end_ms) == ("disclosure", chunks[2].start_ms, chunks[3].end_ms)

    async def test_of_a_time_in_which_nothing_was_recorded_is_refused_and_leaves_no_trace(
        self, alice: Person, session: str
    ) -> None:
        with pytest.raises(Invalid, match="nothing was recorded"):
            await fetch(alice, contract.DISCLOSURE, access.DisclosureQuery(session, 1, 2))
        assert await accesses(alice, session) == ()

    async def test_is_not_for_others(self, bob: Person, session: str) -> None:
        with pytest.raises(NotFound):
            await fetch(bob, contract.DISCLOSURE, access.DisclosureQuery(session, START_MS, START_MS + 1))


class TestErasure:
    async def test_destroys_key_and_files_and_leaves_a_tombstone_and_the_proof_of_what_existed(
        self, house: Deployment, alice: Person, session: str
    ) -> None:
        assert (await erase(alice, session)).erasing_ms is not None
        ended = await deleted(alice, session)
        assert "wrapped" not in await key_record(house, session)
        assert not (house.directory / "state/session-storage/chunks" / session).exists()
        api = await house.client("session-api")
        (entry,) = (await api.call(anchoring.LIFE, anchoring.LifeQuery(session))).entries
        tombstone = statements.read(dsse.parse(entry.envelope.encode()), Erasure)
        assert entry.state == "final"
        assert (tombstone.session, tombstone.reason) == (session, "request")
        assert tombstone.time_ms == ended.erased_ms
        assert tombstone.backups_until_ms == tombstone.time_ms + 7 * DAY_MS
        receipt = await fetch(alice, contract.RECEIPT, SessionPath(session))
        assert await verified(house, alice, receipt) is Outcome.VERIFIED
        assert (await accesses(alice, session))[0].what == "erasure"

    async def test_leaves_nothing_to_hand_out(self, house: Deployment, alice: Person, session: str) -> None:
        await erase(alice, session)
        for asked in recording(alice, session):
            with pytest.raises(NotFound, match="was erased"):
                await asked
        await deleted(alice, session)
        api, recorder = await house.client("session-api"), await house.client("session-recorder")
        chunk = ChunkPath(session, 0, 0)
        for route in (processor.OPEN, storage.CHUNK):
            with pytest.raises(NotFound, match="was erased"):
                await anext(api.stream(route, chunk))
        with pytest.raises(NotFound, match="was erased"):
            await api.call(processor.DISCLOSE, chunk)
        with pytest.raises(NotFound, match="was erased"):
            await api.call(processor.CREATE_KEY, SessionPath(session))
        with pytest.raises(NotFound, match="was erased"):
            await recorder.call(
                processor.PROCESS,
                ChunkPath(session, 0, 99),
                data=b"late",
                headers={processor.CLAIM_HEADER: CLAIM},
            )

    async def test_and_keys_are_for_session_api_alone_among_services(
        self, house: Deployment, session: str
    ) -> None:
        recorder, sealer = await house.client("session-recorder"), await house.client("chunk-processor")
        identity, chunk = SessionPath(session), ChunkPath(session, 0, 0)
        for attempt in (
            recorder.call(processor.ERASE_KEY, identity),
            recorder.call(processor.DISCLOSE, chunk),
            anext(recorder.stream(processor.OPEN, chunk)),
            sealer.call(storage.ERASE, identity),
        ):
            with pytest.raises(Forbidden, match="only session-api may"):
                await attempt
        assert "wrapped" in await key_record(house, session)

    async def test_asked_for_again_is_the_same_erasure(self, alice: Person, session: str) -> None:
        first = await erase(alice, session)
        assert (await erase(alice, session)).erasing_ms == first.erasing_ms
        await deleted(alice, session)
        assert (await erase(alice, session)).state == "deleted"
        assert [row.what for row in await accesses(alice, session)] == ["erasure"]

    async def test_is_for_the_owner_and_admins(self, admin: Person, bob: Person, session: str) -> None:
        with pytest.raises(NotFound):
            await erase(bob, session)
        await erase(admin, session)
        assert (await deleted(admin, session)).erased_ms

    async def test_of_a_session_that_has_not_ended_is_refused(self, alice: Person) -> None:
        with pytest.raises(Conflict, match="only one that is completed or failed") as refused:
            await erase(alice, await alice.create())
        assert refused.value.code.number == 4007

    async def test_of_a_failed_session_closes_it_first(self, house: Deployment, alice: Person) -> None:
        session = await keep(house, alice, closed=False)
        await erase(alice, session)
        await deleted(alice, session)
        api = await house.client("session-api")
        anchors = (await api.call(anchoring.OF_SESSION, SessionPath(session))).anchors
        assert [anchor.state for anchor in anchors if anchor.kind == "manifest"] == ["final"]
        assert [row.what for row in await accesses(alice, session)] == ["erasure"]

    async def test_of_a_failed_session_that_the_log_never_heard_of_needs_no_tombstone(
        self, house: Deployment, alice: Person
    ) -> None:
        session = await alice.create()
        await rewrite(house, session, state="failed")
        await erase(alice, session)
        await deleted(alice, session)
        assert await accesses(alice, session) == ()

    @pytest.mark.parametrize("service", ["chunk-processor", "session-storage", "session-anchoring"])
    async def test_goes_on_where_it_stopped_whatever_was_away(
        self, house: Deployment, alice: Person, session: str, service: str
    ) -> None:
        async with away(house, service):
            await erase(alice, session)
            await asyncio.sleep(0.5)
            await house.stop("session-api")
        await house.start("session-api")
        await deleted(alice, session)
        assert [row.what for row in await accesses(alice, session)] == ["erasure"]


CLAIM = (
    '{"sequence":99,"start_ms":1,"end_ms":2,"raw_nonce":"'
    + "0" * 64
    + '","raw_commitment":"'
    + "0" * 64
    + '"}'
)


class TestRetention:
    async def test_erases_what_has_been_kept_long_enough_and_nothing_else(
        self, house: Deployment, alice: Person, session: str
    ) -> None:
        other = await keep(house, alice)
        assert (await alice.get(session)).retention_days == 30
        ended = (await alice.get(session)).ended_ms
        assert ended is not None
        await rewrite(house, session, ended_ms=ended - 30 * DAY_MS)
        await deleted(alice, session)
        (row,) = await accesses(alice, session)
        assert (row.what, row.reason) == ("erasure", "retention")
        assert (await alice.get(other)).erasing_ms is None

    async def test_is_one_day_to_a_year(self, alice: Person) -> None:
        for days in (1, 365):
            assert (await alice.get(await alice.create(retention_days=days))).retention_days == days
        for days in (0, 366):
            with pytest.raises(Invalid, match="retention_days"):
                await alice.create(retention_days=days)


class TestALegalHold:
    async def test_wins_over_erasure_and_retention_until_it_ends(
        self, house: Deployment, alice: Person, session: str, admin: Person
    ) -> None:
        assert (await set_hold(admin, session, held=True)).held
        with pytest.raises(Conflict, match="legal hold") as refused:
            await erase(alice, session)
        assert refused.value.code.number == 4007
        await rewrite(house, session, ended_ms=START_MS - 400 * DAY_MS)
        await asyncio.sleep(1.0)
        assert (await alice.get(session)).erasing_ms is None
        assert not (await set_hold(admin, session, held=False)).held
        await deleted(alice, session)
        rows = await accesses(alice, session)
        assert [(row.what, row.reason) for row in rows] == [
            ("erasure", "retention"), ("release", "case 7"), ("hold", "case 7"),
        ]  # fmt: skip
        api = await house.client("session-api")
        entry = await api.call(anchoring.STATUS, anchoring.AnchorPath(rows[2].entry))
        assert entry.state == "final"
        assert statements.read(dsse.parse(entry.envelope.encode()), Hold).held

    async def test_is_set_before_it_is_anchored_and_stays_if_that_fails(
        self, house: Deployment, session: str, alice: Person, admin: Person
    ) -> None:
        await set_hold(admin, session, held=True)
        async with away(house, "session-anchoring"):
            with pytest.raises(Unavailable):
                await set_hold(admin, session, held=False)
        assert (await alice.get(session)).held

    async def test_is_for_admins(self, alice: Person, session: str) -> None:
        with pytest.raises(Forbidden):
            await set_hold(alice, session, held=True)

    async def test_of_what_is_erased_or_was_never_recorded_is_refused(
        self, admin: Person, alice: Person, session: str
    ) -> None:
        with pytest.raises(Conflict, match="nothing of it is recorded"):
            await set_hold(admin, await alice.create(), held=True)
        await erase(alice, session)
        with pytest.raises(Conflict, match="erased already"):
            await set_hold(admin, session, held=True)
