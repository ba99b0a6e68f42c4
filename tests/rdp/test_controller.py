"""session-controller with real displays, the real recorder and all that is behind it."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest
import pytest_asyncio

from lucid.contracts import session_controller as contract
from lucid.contracts.types import SessionPath
from lucid.dev.processes import Processes
from lucid.kit.errors import Code, Conflict, Invalid, LucidError, NotFound, StorageFull, Unavailable
from lucid.kit.routes import NOTHING
from lucid.rdp import controller, judging, records, watch
from tests.faults.hosts import Hosts
from tests.rdp.site import CLIENT, CONTROLLER, Site, unknown, wait
from tests.sessions.waiting import until

pytestmark = [pytest.mark.quiet, pytest.mark.asyncio(loop_scope="module")]


async def refusal(asked: Awaitable[object]) -> LucidError:
    with pytest.raises(LucidError) as caught:
        await asked
    return caught.value


async def test_a_session_lives_from_its_begin_to_its_end(site: Site) -> None:
    session, begin = await site.create()
    port = begin.port
    first, second = await asyncio.gather(site.begin(session, begin), site.begin(session, begin))
    assert first == second
    assert (first.state, first.port, first.ending) == ("ready", port, None)
    assert (await site.recording(session)).chunks, "the first fragment is durable"
    assert (await site.booked(session)).state == "recording"

    assert (await site.admit(session)).certificate_sha256 == "c" * 64
    site.displays.log_in(port)
    assert (await site.comes_to(session, "connected")).client == CLIENT
    cut_off = await site.manager.call(contract.DISCONNECT, SessionPath(session))
    assert (cut_off.state, cut_off.client) == ("disconnected", None)
    await site.admit(session)
    site.displays.log_in(port)
    await site.comes_to(session, "connected")
    assert (await site.recording(session)).state == "recording"

    site.displays.told.clear()
    ends = await asyncio.gather(*(site.end(session) for _ in range(3)))
    assert {each.state for each in ends} == {"ended"}
    assert {each.ending for each in ends} == {"requested"}
    assert site.displays.told == [("close", port), ("end", port)]
    assert port not in site.displays.desks
    assert (await site.end(session, "expired")).ending == "requested"
    closed = await site.closed(session)
    assert (closed.state, closed.end_reason) == ("completed", "stopped"), "its last frame was recorded"

    cookies = [screen.hex().encode() for screen in _cookies(site)]
    state = site.house.directory / "state" / CONTROLLER
    written = b"".join(p.read_bytes() for p in state.rglob("*") if p.is_file())
    assert session.encode() in written
    assert not [cookie for cookie in cookies if cookie in written]
    listed = await site.manager.call(contract.LIST, NOTHING)
    assert [each.ending for each in listed.sessions if each.session == session] == ["requested"]


def _cookies(site: Site) -> list[bytes]:
    return [path.read_bytes()[-16:] for path in site.house.directory.glob("server-xauthority-*")]


async def test_what_cannot_begin_is_refused(site: Site) -> None:
    session, begin = await site.create()
    other = contract.Begin(port=begin.port, trust=begin.trust, width=640, height=480)
    unsigned = contract.Begin(port=begin.port, trust="{}", width=640, height=480)
    assert isinstance(await refusal(site.begin(session, unsigned)), Invalid)
    await site.begin(session, begin)
    assert (await refusal(site.begin(session, other))).code is Code.CONFLICT
    stranger, _ = await site.create()
    assert (await refusal(site.begin(stranger, begin))).code is Code.CONFLICT, "the port is taken"
    nobody = "0b6ff1f4-2f0c-4d0e-8b39-9e6f5f4c0a11"
    for asked in (site.get(nobody), site.end(nobody), site.admit(nobody)):
        assert isinstance(await refusal(asked), NotFound)

    site.displays.refuses = Unavailable("no X server within 10 s", code=Code.TIMEOUT)
    broken, begin = await site.create()
    for _ in range(2):
        failed = await refusal(site.begin(broken, begin))
        assert (failed.code, failed.message) == (Code.TIMEOUT, "no X server within 10 s")
    found = await site.get(broken)
    assert (found.state, found.ending) == ("ended", "failed")
    assert (await refusal(site.admit(broken))).code is Code.SESSION_STATE
    assert (await site.booked(broken)).state == "created", "of its recording nothing was said"

    unknown = "0b6ff1f4-2f0c-4d0e-8b39-9e6f5f4c0a12"
    site.displays.refuses = None
    assert isinstance(await refusal(site.begin(unknown, begin)), NotFound), "session-api does not know it"
    found = await site.get(unknown)
    assert (found.state, found.ending) == ("ended", "not_recorded")
    assert begin.port not in site.displays.desks


async def test_sessions_end_by_themselves_for_their_reasons(site: Site) -> None:
    (used, at), (out, over), (left, port), (unused, never) = await asyncio.gather(
        site.used(), site.used(), site.used(), site.begun()
    )
    site.displays.leave(port)
    assert (await site.comes_to(left, "disconnected")).client is None
    await site.displays.log_out(over)
    for session, ending in ((left, "disconnected"), (out, "logged_out"), (unused, "not_used")):
        assert (await site.comes_to(session, "ended")).ending == ending
    assert not {over, port, never} & site.displays.desks.keys(), "nothing of them is left"
    assert (await site.get(used)).state == "connected", "that of others' ends is nothing to it"
    assert (await site.closed(out)).end_reason == "display_lost"
    with pytest.raises(Conflict):
        await site.admit(left)
    await site.end(used)
    assert at not in site.displays.desks


async def test_a_desktop_of_nobody_is_ended(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "ORPHAN_SECONDS", 1.5)
    session, port = await site.begun()
    await site.house.stop(CONTROLLER)
    (site.house.directory / "state" / CONTROLLER / "sessions" / f"{session}.json").write_text("{")
    await site.house.start(CONTROLLER)
    await site.nothing_left(port)
    assert await unknown(site, session)
    assert (await site.closed(session)).end_reason == "display_lost"


class TestViolations:
    async def test_a_recording_that_ends_ends_the_session_and_is_on_the_log(self, site: Site) -> None:
        session, port = await site.used()
        await site.recorder_ends(session)
        found = await site.comes_to(session, "ended")
        assert found.ending == "violation"
        assert found.detail == "its recording has ended while its desktop lives (stopped)"
        assert port not in site.displays.desks
        assert await site.violations(session) == [("recorder_ended", found.detail)]

    async def test_a_recorder_may_restart_but_not_stay_away(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(judging, "RESTART_SECONDS", {"end": 3.0, "gap": 60.0})
        monkeypatch.setattr(watch, "TELL_SECONDS", 1.0)
        (strict, port), (lenient, other) = await asyncio.gather(
            site.used(), site.used(on_recorder_loss="gap")
        )
        await site.house.stop("session-recorder")
        await wait(1)
        await site.house.start("session-recorder")
        await until(lambda: site.records(strict))
        assert (await site.get(strict)).state == "connected"
        await site.house.stop("session-recorder")
        session, begin = await site.create()
        refused = asyncio.create_task(refusal(site.begin(session, begin)))
        found = await site.comes_to(strict, "ended", 25)
        assert (found.ending, found.detail) == ("violation", "its recorder was out of reach for 3 s")
        assert port not in site.displays.desks
        assert (await site.get(lenient)).state == "connected", "its policy says: a gap"
        assert isinstance(await refused, Unavailable), "no recorder, no session"
        none = await site.get(session)
        assert (none.state, none.ending) == ("ended", "not_recorded")
        assert begin.port not in site.displays.desks
        await site.house.start("session-recorder")
        await until(lambda: site.records(lenient))
        assert other in site.displays.desks
        assert await site.violations(strict) == [("recorder_lost", found.detail)]
        assert (await site.end(lenient)).ending == "requested"
        assert (await site.closed(lenient)).end_reason == "stopped"
        assert (await site.closed(session)).state == "failed"


class TestRestarts:
    @pytest_asyncio.fixture(loop_scope="module")
    async def hosts(self, site: Site, processes: Processes) -> AsyncIterator[Hosts]:
        """The controller as a process of its own."""
        await site.house.stop(CONTROLLER)
        made = Hosts(site.house, processes)
        await made.start(CONTROLLER)
        yield made
        made.stop()
        await site.house.start(CONTROLLER)

    async def test_kill_9_in_mid_life_ends_nothing(self, site: Site, hosts: Hosts) -> None:
        (lives, port), (gone, over) = await asyncio.gather(site.used(), site.used())
        before = await site.get(lives)
        await hosts.kill(CONTROLLER)
        await site.displays.end(over)
        await hosts.start(CONTROLLER)
        assert await site.get(lives) == before
        assert (await site.comes_to(gone, "ended")).ending == "logged_out"
        assert (await site.recording(lives)).state == "recording"
        assert (await site.end(lives)).state == "ended"
        assert port not in site.displays.desks
        assert (await site.closed(lives)).end_reason == "stopped"

    async def test_kill_9_in_mid_begin_and_mid_end_leaves_nothing(self, site: Site, hosts: Hosts) -> None:
        ending, end_port = await site.used()
        site.displays.may_end.clear()
        end = asyncio.create_task(site.end(ending))
        await until(lambda: site.was_told("end", end_port))
        session, begin = await site.create()
        site.displays.may_prepare.clear()
        start = asyncio.create_task(site.begin(session, begin))
        await until(lambda: site.was_told("prepare", begin.port))
        await hosts.kill(CONTROLLER)
        for task in (end, start):
            assert isinstance(await refusal(task), Unavailable)
        site.displays.may_end.set()
        site.displays.may_prepare.set()
        await hosts.start(CONTROLLER)
        assert (await site.comes_to(ending, "ended")).ending == "requested"
        assert (await site.comes_to(session, "ended")).ending == "failed"
        await site.nothing_left(begin.port)
        await site.nothing_left(end_port)
        assert (await site.closed(ending)).end_reason == "stopped"
        assert (await refusal(site.begin(session, begin))).code is Code.SESSION_STATE


async def test_no_session_outlives_its_host(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, port = await site.used()
    await site.house.stop(CONTROLLER)
    await site.displays.end(port)
    boot = tmp_path / "boot_id"
    boot.write_text("another boot\n")
    monkeypatch.setattr(controller, "BOOT", boot)
    await site.house.start(CONTROLLER)
    assert (await site.comes_to(session, "ended")).ending == "host_lost"
    assert (await site.closed(session)).end_reason == "display_lost"


async def test_without_its_agent_a_session_lives_and_an_end_waits(site: Site) -> None:
    (stays, _), (ends, port) = await asyncio.gather(site.used(), site.used())
    await site.stop_agent()
    await wait(2)
    assert (await site.get(stays)).state == "connected"
    assert (await site.end(ends)).state == "ending"
    assert (await site.recording(ends)).state == "recording", "who may be connected is recorded"
    await site.start_agent()
    assert (await site.comes_to(ends, "ended")).ending == "requested"
    assert port not in site.displays.desks
    assert (await site.get(stays)).state == "connected"


async def test_a_full_disk_refuses_sessions_and_keeps_none_alive(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, port = await site.used()
    directory = site.house.directory / "state" / CONTROLLER / "sessions"

    async def written(state: bytes) -> bool:
        return b'"%b"' % state in (directory / f"{session}.json").read_bytes()

    await until(lambda: written(b"connected"))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(records, "write_durably", full)
        other, begin = await site.create()
        assert isinstance(await refusal(site.begin(other, begin)), StorageFull)
        assert begin.port not in site.displays.desks
        assert (await site.end(session)).state == "ended"
        assert port not in site.displays.desks
        assert not await site.house.ready(CONTROLLER)
        assert await written(b"connected")

    await until(lambda: written(b"ended"))
    await until(lambda: site.house.ready(CONTROLLER))
