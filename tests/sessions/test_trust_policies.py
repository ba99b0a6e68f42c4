"""Sessions under a trust policy: what their bundles show of it, and what is on record when it is not kept."""

import io
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from lucid import catalog
from lucid.contracts import blockchain_engine as engine
from lucid.contracts import session_anchoring as anchoring
from lucid.contracts import session_api as contract
from lucid.contracts.session_access import AccessRow, BundleQuery, DisclosureQuery, ReportViolation
from lucid.contracts.types import SessionPath
from lucid.evidence import dsse, policy, statements
from lucid.evidence import trust as trust_file
from lucid.evidence.life import Violation
from lucid.evidence.policy import TrustPolicy
from lucid.evidence.verify import verify
from lucid.kit.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from lucid.kit.routes import NOTHING
from tests.blocks.world import START_MS
from tests.deployment import Deployment, deployment
from tests.sessions.kept import SERVICES, keep
from tests.sessions.people import Person, person
from tests.sessions.test_life import SETTINGS, accesses, away, deleted, erase, fetch, for_all
from tests.sessions.test_policy import OWNER, TRUST
from tests.sessions.waiting import until

SEEN: dict[str, Any] = {"kind": "agent_lost", "detail": "no answer for 5 s", "time_ms": START_MS}
needs_controller = pytest.mark.skipif(
    "session-controller" not in catalog.load().services,
    reason="the catalogue has no session-controller, which alone may report violations",
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


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


@pytest_asyncio.fixture(loop_scope="module")
async def session(house: Deployment, alice: Person) -> str:
    return await keep(house, alice)


async def agreed_policies(house: Deployment, who: Person, *bundles: bytes) -> list[TrustPolicy | None]:
    """The trust policy in each of these bundles, each of which verifies."""
    trust, found = trust_file.parse(await fetch(who, engine.TRUST, NOTHING)), []
    for bundle in bundles:
        report = verify(io.BytesIO(bundle), trust)
        assert report.failure is None, report.failure
        assert report.policy is not None
        found.append(report.policy.trust_policy)
    return found


class TestATrustPolicy:
    async def test_is_in_every_bundle_of_its_session_and_outlives_the_recording(
        self, house: Deployment, alice: Person
    ) -> None:
        session = await keep(house, alice, trust=policy.sign(TRUST, OWNER))
        stretch = DisclosureQuery(session, START_MS, START_MS + 1)
        given = [
            await fetch(alice, contract.BUNDLE, BundleQuery(session)),
            await fetch(alice, contract.DISCLOSURE, stretch),
            await fetch(alice, contract.RECEIPT, SessionPath(session)),
        ]
        await erase(alice, session)
        await deleted(alice, session)
        given += [
            await fetch(alice, contract.RECEIPT, SessionPath(session)),
            await fetch(alice, contract.BUNDLE, BundleQuery(session, chunks=False)),
        ]
        assert await agreed_policies(house, alice, *given) == [TRUST] * 5

    async def test_is_none_where_nobody_gave_one(
        self, house: Deployment, alice: Person, session: str
    ) -> None:
        receipt = await fetch(alice, contract.RECEIPT, SessionPath(session))
        assert await agreed_policies(house, alice, receipt) == [None]


class TestAViolation:
    async def report(self, house: Deployment, caller: str, session: str, **fields: Any) -> AccessRow:
        body = ReportViolation(**{**SEEN, **fields})
        return await house.call(caller, contract.VIOLATION, SessionPath(session), body, seconds=2)

    @needs_controller
    async def test_is_on_the_log_and_among_what_happened_to_the_session(
        self, house: Deployment, alice: Person, session: str
    ) -> None:
        row = await self.report(house, "session-controller", session)
        assert (row.what, row.reason, row.detail, row.who) == (
            "violation",
            "agent_lost",
            SEEN["detail"],
            None,
        )
        assert (await accesses(alice, session))[0].entry == row.entry

        async def final() -> bool:
            return (await accesses(alice, session))[0].state == "final"

        await until(final)
        entry = await house.call("session-api", anchoring.STATUS, anchoring.AnchorPath(row.entry))
        said = statements.read(dsse.parse(entry.envelope.encode()), Violation)
        assert said == Violation(session=session, **SEEN)

    @needs_controller
    async def test_reported_again_is_the_same(self, house: Deployment, alice: Person, session: str) -> None:
        rows = [await self.report(house, "session-controller", session) for _ in range(2)]
        other = await self.report(house, "session-controller", session, time_ms=START_MS + 1)
        assert rows[0].entry == rows[1].entry != other.entry
        assert len(await accesses(alice, session)) == 2

    @needs_controller
    async def test_is_answered_only_once_it_is_stored(self, house: Deployment, session: str) -> None:
        async with away(house, "session-anchoring"):
            with pytest.raises(Unavailable):
                await self.report(house, "session-controller", session)

    @needs_controller
    async def test_of_a_session_that_is_not_on_the_log_is_refused(
        self, house: Deployment, alice: Person
    ) -> None:
        with pytest.raises(NotFound):
            await self.report(house, "session-controller", str(uuid.uuid4()))
        with pytest.raises(Conflict, match="not on the log"):
            await self.report(house, "session-controller", await alice.create(name="never begun"))

    @needs_controller
    @pytest.mark.parametrize("change", [{"detail": "two\nlines"}, {"detail": "x" * 201}, {"detail": ""}])
    async def test_is_told_in_one_line(self, house: Deployment, session: str, change: dict[str, str]) -> None:
        with pytest.raises(Invalid, match="detail"):
            await self.report(house, "session-controller", session, **change)

    async def test_is_reported_by_session_controller_alone(self, house: Deployment, session: str) -> None:
        for caller in ("api-gateway", "session-recorder"):
            with pytest.raises(Forbidden):
                await self.report(house, caller, session)
