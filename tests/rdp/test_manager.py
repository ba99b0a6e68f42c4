"""rdp-manager as people use it: with the real session-api, and hosts that keep sessions without desktops."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from lucid.contracts import rdp_manager as contract
from lucid.contracts import session_api
from lucid.contracts.types import SessionPath
from lucid.contracts.xrdp import FIRST_PORT
from lucid.kit.errors import (
    Code,
    Conflict,
    Forbidden,
    Invalid,
    Limited,
    LucidError,
    NotFound,
    StorageFull,
    Unavailable,
)
from lucid.kit.routes import Access
from tests.rdp.manager_site import ADDRESS, Person, Site, signed, site
from tests.sessions.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rdp(
    tmp_path_factory: pytest.TempPathFactory, mongodb_url: str, redis_url: str
) -> AsyncIterator[Site]:
    """One site for all tests here: what one of them does to a host it undoes."""
    directory = tmp_path_factory.mktemp("site")
    monkey = pytest.MonkeyPatch()
    monkey.setattr("lucid.kit.client.FIRST_PAUSE", 0.005)
    settings = {"RDP_SESSIONS_PER_USER": "3", "RDP_ADDRESSES": "rdp2=rdp2.example.org"}
    async with site(directory, mongodb_url, redis_url, "rdp1", "rdp2", **settings) as made:
        yield made
    monkey.undo()


@pytest.fixture
def anna(rdp: Site) -> Person:
    return rdp.person()


@pytest.fixture
def admin(rdp: Site) -> Person:
    return rdp.person(Access.ADMIN)


async def reached(person: Person, session: str, *states: str) -> contract.RdpSession:
    """The desktop once it is in one of these states."""

    async def there() -> bool:
        return (await person.get(session)).state in states

    await until(there, 10)
    return await person.get(session)


async def recording(rdp: Site, session: str) -> session_api.Session:
    return await rdp.house.call("rdp-manager", session_api.GET_MANAGED, SessionPath(session))


class TestADesktop:
    async def test_is_recorded_begun_and_open_to_one_client_once(self, rdp: Site, anna: Person) -> None:
        told = await anna.open(name="work", width=1024, height=768, frame_rate=7)
        session, host = told.session, rdp.hosts[told.session.host]
        assert (session.state, session.owner, session.width) == ("ready", anna.id, 1024)
        recorded = await recording(rdp, session.id)
        assert (recorded.owner, recorded.frame_rate, recorded.host) == (anna.id, 7, session.host)
        assert not host.log_in(session.id, ADDRESS, "another")
        assert not host.log_in(session.id, "203.0.113.8", told.password)
        assert host.log_in(session.id, ADDRESS, told.password)
        assert not host.log_in(session.id, ADDRESS, told.password)
        assert (await reached(anna, session.id, "connected")).client == ADDRESS

    async def test_is_told_with_a_file_for_ordinary_clients(self, anna: Person) -> None:
        told = await anna.open()
        assert f"full address:s:{told.address}:{told.port}" in told.rdp_file
        assert told.password not in told.rdp_file
        assert told.password not in repr(told)

    async def test_is_found_under_its_host_s_public_name(self, anna: Person) -> None:
        by_host = {c.session.host: c.address for c in [await anna.open() for _ in range(3)]}
        expected = {"rdp1": "127.0.0.1", "rdp2": "rdp2.example.org"}
        assert by_host == {host: expected[host] for host in by_host}

    async def test_lets_another_client_in_with_a_new_password(self, rdp: Site, anna: Person) -> None:
        told = await anna.open()
        host = rdp.hosts[told.session.host]
        assert host.log_in(told.session.id, ADDRESS, told.password)
        again = await anna.ask(
            contract.CONNECT, SessionPath(told.session.id), contract.Connect(client="198.51.100.4")
        )
        assert (again.port, again.certificate_sha256) == (told.port, told.certificate_sha256)
        assert again.password != told.password
        assert not host.log_in(told.session.id, ADDRESS, again.password)
        assert host.log_in(told.session.id, "198.51.100.4", again.password)

    async def test_lives_on_when_its_client_is_cut_off(self, rdp: Site, anna: Person) -> None:
        told = await anna.open()
        rdp.hosts[told.session.host].log_in(told.session.id, ADDRESS, told.password)
        cut = await anna.ask(contract.DISCONNECT, SessionPath(told.session.id))
        assert (cut.state, cut.client) == ("disconnected", None)

    async def test_ends_on_request_for_good(self, rdp: Site, anna: Person) -> None:
        told = await anna.open()
        path = SessionPath(told.session.id)
        ended = await anna.ask(contract.END, path)
        assert (ended.state, ended.ending) == ("ended", "requested")
        assert ended.ended_ms is not None
        assert await anna.ask(contract.END, path) == ended
        assert rdp.hosts[ended.host].sessions[ended.id].state == "ended"
        for asked in (
            anna.ask(contract.CONNECT, path, contract.Connect()),
            anna.ask(contract.DISCONNECT, path),
        ):
            with pytest.raises(Conflict) as caught:
                await asked
            assert caught.value.code is Code.SESSION_STATE

    async def test_that_ended_on_its_host_is_known_to_have(self, rdp: Site, anna: Person) -> None:
        told = await anna.open()
        rdp.hosts[told.session.host].sessions[told.session.id].end("violation")
        assert (await reached(anna, told.session.id, "ended")).ending == "violation"

    async def test_that_its_host_has_forgotten_is_lost(self, rdp: Site, anna: Person) -> None:
        told = await anna.open()
        del rdp.hosts[told.session.host].sessions[told.session.id]
        assert (await reached(anna, told.session.id, "ended")).ending == "host_lost"

    async def test_keeps_the_policy_that_it_began_with(self, rdp: Site, anna: Person) -> None:
        policy = await anna.policy("one")
        told = await anna.open(policy)
        changed = await anna.ask(
            contract.UPDATE_POLICY,
            contract.PolicyPath(policy.id),
            contract.PutPolicy(signed(anna.key, "two")),
        )
        assert changed.sha256 != policy.sha256
        again = await anna.ask(contract.CONNECT, SessionPath(told.session.id), contract.Connect())
        assert again.session.trust_sha256 == policy.sha256
        assert rdp.hosts[told.session.host].sessions[told.session.id].begin.trust == policy.envelope


class TestWhoMay:
    async def test_others_do_not_learn_that_there_is_a_desktop(self, rdp: Site, anna: Person) -> None:
        told, bob = await anna.open(), rdp.person()
        path = SessionPath(told.session.id)
        for asked in (
            bob.ask(contract.GET, path),
            bob.ask(contract.CONNECT, path, contract.Connect()),
            bob.ask(contract.DISCONNECT, path),
            bob.ask(contract.END, path),
        ):
            with pytest.raises(NotFound):
                await asked
        assert (await bob.ask(contract.LIST, contract.RdpSessionsQuery())).sessions == ()
        with pytest.raises(Forbidden):
            await bob.ask(contract.LIST, contract.RdpSessionsQuery(owner=anna.id))

    async def test_admins_see_and_end_but_do_not_sit_down(self, anna: Person, admin: Person) -> None:
        told = await anna.open()
        path = SessionPath(told.session.id)
        page = await admin.ask(contract.LIST, contract.RdpSessionsQuery(owner=anna.id))
        assert [each.id for each in page.sessions] == [told.session.id]
        with pytest.raises(NotFound):
            await admin.ask(contract.CONNECT, path, contract.Connect())
        assert (await admin.ask(contract.END, path)).ending == "requested"

    async def test_a_policy_of_somebody_else_opens_nothing(self, anna: Person, admin: Person) -> None:
        policy = await anna.policy()
        with pytest.raises(NotFound):
            await admin.open(policy)

    async def test_lists_are_pages_that_miss_nothing(self, anna: Person) -> None:
        made = [(await anna.open()).session.id for _ in range(3)]
        seen: list[str] = []
        before: str | None = None
        while True:
            page = await anna.ask(contract.LIST, contract.RdpSessionsQuery(limit=2, before=before))
            seen += [each.id for each in page.sessions]
            if (before := page.next) is None:
                break
        assert seen == made[::-1]


class TestTheClientsAddress:
    async def test_is_the_one_that_the_gateway_saw_unless_another_is_named(
        self, rdp: Site, anna: Person
    ) -> None:
        anna.address = "::ffff:198.51.100.9"
        policy = await anna.policy()
        for named, expected in ((None, "198.51.100.9"), ("2001:DB8::7", "2001:db8::7")):
            told = await anna.open(policy, client=named)
            kept = rdp.hosts[told.session.host].sessions[told.session.id]
            assert kept.admission is not None
            assert kept.admission.client == expected

    @pytest.mark.parametrize(
        ("seen", "named", "words"),
        [
            ("circuit:17", None, "you come through Tor"),
            ("", None, "your address is not known"),
            (ADDRESS, "desk.example.org", "no IP address"),
            (ADDRESS, "fe80::1%eth0", "no IP address"),
            (ADDRESS, "::", "no client connects from"),
            (ADDRESS, "ff02::1", "no client connects from"),
        ],
    )
    async def test_must_be_one(self, anna: Person, seen: str, named: str | None, words: str) -> None:
        anna.address = seen
        with pytest.raises(Invalid, match=words) as caught:
            await anna.open(client=named)
        assert (caught.value.code, caught.value.details["field"]) == (Code.INVALID, "client")

    async def test_may_be_named_by_who_comes_through_tor(self, anna: Person) -> None:
        anna.address = "circuit:17"
        assert (await anna.open(client=ADDRESS)).session.state == "ready"


class TestPortsAndQuotas:
    async def test_no_port_is_two_sessions_at_once_whoever_gives_it(self, rdp: Site) -> None:
        people = [rdp.person() for _ in range(12)]
        policies = await asyncio.gather(*(each.policy() for each in people))
        async with rdp.another_manager() as other:
            opened = await asyncio.gather(
                *(
                    person.open(policy, by=by)
                    for person, policy in zip(people, policies, strict=True)
                    for by in (rdp.client, other)
                )
            )
        places = [(each.session.host, each.port) for each in opened]
        assert len(set(places)) == len(places) == 24
        live = {host: {kept.port for kept in desk.live()} for host, desk in rdp.hosts.items()}
        for host, ports in live.items():
            assert len(ports) == len(rdp.hosts[host].live())
            assert max(ports) - FIRST_PORT < len(ports) + 8, "ports are the lowest that are free"

    async def test_nobody_has_more_than_the_quota_however_many_ask_at_once(self, rdp: Site) -> None:
        anna = rdp.person()
        policy = await anna.policy()
        async with rdp.another_manager() as other:
            asked = (anna.open(policy, by=by) for by in (rdp.client, other) for _ in range(5))
            found = await asyncio.gather(*asked, return_exceptions=True)
        refused = [each for each in found if isinstance(each, BaseException)]
        assert len(found) - len(refused) == 3
        assert {type(each) for each in refused} == {Limited}
        assert all(isinstance(each, Limited) and each.code is Code.QUOTA for each in refused)

    async def test_what_has_ended_makes_room_again(self, anna: Person) -> None:
        opened = [await anna.open() for _ in range(3)]
        with pytest.raises(Limited, match="end one"):
            await anna.open()
        await anna.ask(contract.END, SessionPath(opened[1].session.id))
        again = await anna.open()
        assert again.session.state == "ready"


class TestAFailedStart:
    @pytest.mark.parametrize("failure", [Conflict("this port is busy"), StorageFull("no room for its spool")])
    async def test_leaves_nothing_behind(self, rdp: Site, anna: Person, failure: LucidError) -> None:
        begins = sum(desk.begins for desk in rdp.hosts.values())
        for desk in rdp.hosts.values():
            desk.refusal = failure
        try:
            with pytest.raises(type(failure), match=failure.message):
                await anna.open()
        finally:
            for desk in rdp.hosts.values():
                desk.refusal = None
        (row,) = (await anna.ask(contract.LIST, contract.RdpSessionsQuery())).sessions
        assert (row.state, row.ending, row.detail) == ("ended", "failed", failure.message)
        assert (await recording(rdp, row.id)).state == "failed"
        assert sum(desk.begins for desk in rdp.hosts.values()) > begins

    async def test_at_its_last_step_ends_the_desktop_too(self, rdp: Site, anna: Person) -> None:
        for desk in rdp.hosts.values():
            desk.refuses_admission = True
        try:
            with pytest.raises(Conflict, match="nobody is let in"):
                await anna.open()
        finally:
            for desk in rdp.hosts.values():
                desk.refuses_admission = False
        (row,) = (await anna.ask(contract.LIST, contract.RdpSessionsQuery())).sessions
        assert (row.state, row.ending) == ("ended", "failed")
        assert rdp.hosts[row.host].sessions[row.id].state == "ended"

    async def test_for_want_of_a_recording_starts_no_desktop(self, rdp: Site, anna: Person) -> None:
        policy = await anna.policy()
        begins = [desk.begins for desk in rdp.hosts.values()]
        await rdp.house.stop("session-api")
        try:
            with pytest.raises(Unavailable):
                await anna.open(policy)
        finally:
            await rdp.house.start("session-api")
        assert [desk.begins for desk in rdp.hosts.values()] == begins
        (row,) = (await anna.ask(contract.LIST, contract.RdpSessionsQuery())).sessions
        assert (row.state, row.ending) == ("ended", "not_recorded")

    async def test_that_was_decided_while_it_was_under_way_lets_nobody_in(
        self, rdp: Site, anna: Person
    ) -> None:
        for desk in rdp.hosts.values():
            desk.going.clear()
        opening = asyncio.create_task(anna.open())
        try:
            rows: tuple[contract.RdpSession, ...] = ()
            while not rows:
                rows = (await anna.ask(contract.LIST, contract.RdpSessionsQuery())).sessions
                await asyncio.sleep(0.02)
            await until(lambda: _begun(rdp, rows[0].host), 5)
            await anna.ask(contract.END, SessionPath(rows[0].id))
        finally:
            for desk in rdp.hosts.values():
                desk.going.set()
        with pytest.raises(Conflict):
            await opening
        assert (await reached(anna, rows[0].id, "ended")).ending == "requested"

        async def gone() -> bool:
            return all(each.session != rows[0].id for desk in rdp.hosts.values() for each in desk.live())

        await until(gone, 5)


async def _begun(rdp: Site, host: str) -> bool:
    return rdp.hosts[host].begins > 0


class TestHosts:
    async def test_take_desktops_in_turn_and_none_while_they_drain(self, anna: Person, admin: Person) -> None:
        await admin.ask(contract.SET_HOST, contract.HostPath("rdp1"), contract.SetHost(draining=True))
        try:
            assert {(await anna.open()).session.host for _ in range(3)} == {"rdp2"}
            by_name = {host.name: host for host in (await admin.ask(contract.HOSTS)).hosts}
            assert by_name["rdp1"].draining
            assert by_name["rdp2"].sessions >= 3
            assert (by_name["rdp2"].memory_free_bytes or 0) > 0
        finally:
            drained = await admin.ask(
                contract.SET_HOST, contract.HostPath("rdp1"), contract.SetHost(draining=False)
            )
        assert not drained.draining

    async def test_are_for_admins(self, anna: Person) -> None:
        with pytest.raises(Forbidden):
            await anna.ask(contract.HOSTS)

    async def test_that_nobody_knows_cannot_be_drained(self, admin: Person) -> None:
        with pytest.raises(NotFound, match="the hosts are rdp1, rdp2"):
            await admin.ask(contract.SET_HOST, contract.HostPath("rdp9"), contract.SetHost(draining=True))

    async def test_that_all_drain_are_said_to(self, anna: Person, admin: Person) -> None:
        for host in ("rdp1", "rdp2"):
            await admin.ask(contract.SET_HOST, contract.HostPath(host), contract.SetHost(draining=True))
        try:
            with pytest.raises(Unavailable, match="rdp1 is draining; rdp2 is draining"):
                await anna.open()
        finally:
            for host in ("rdp1", "rdp2"):
                await admin.ask(contract.SET_HOST, contract.HostPath(host), contract.SetHost(draining=False))

    async def test_have_strays_ended(self, rdp: Site, anna: Person) -> None:
        told = await anna.open()
        await anna.ask(contract.END, SessionPath(told.session.id))
        stray = rdp.hosts[told.session.host].sessions[told.session.id]
        stray.state = "disconnected"

        async def ended() -> bool:
            return stray.state == "ended"

        await until(ended, 5)
        assert stray.ending == "host_lost"


async def test_says_how_it_is_and_what_it_did(rdp: Site, anna: Person) -> None:
    await anna.open()
    text = await rdp.metrics()
    assert 'lucid_rdp_sessions_created_total{outcome="opened"}' in text
    assert 'lucid_rdp_desktops{state="ready"}' in text
    assert "lucid_rdp_open_seconds_count" in text
    assert "lucid_rdp_hosts_answering 2.0" in text
    assert await rdp.house.ready(contract.SERVICE)
