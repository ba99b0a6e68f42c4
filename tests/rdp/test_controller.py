"""session-controller with real displays, the real recorder and all that is behind it."""

import asyncio

import pytest

from lucid.contracts import session_controller as contract
from lucid.contracts.types import SessionPath
from lucid.kit.errors import Code, Invalid, LucidError, NotFound, Unavailable
from lucid.kit.routes import NOTHING
from tests.rdp.site import CLIENT, CONTROLLER, SESSIONS, Site


async def refusal(coroutine: object) -> LucidError:
    with pytest.raises(LucidError) as caught:
        await coroutine  # type: ignore[misc]  # any coroutine
    return caught.value


async def test_a_session_lives_from_its_begin_to_its_end(site: Site) -> None:
    await site.start(*SESSIONS, CONTROLLER)
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
    assert [each.session for each in listed.sessions] == [session]


def _cookies(site: Site) -> list[bytes]:
    return [path.read_bytes()[-16:] for path in site.house.directory.glob("server-xauthority-*")]


async def test_what_cannot_begin_is_refused(site: Site) -> None:
    await site.start(*SESSIONS, CONTROLLER)
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


async def test_no_recorder_no_session(site: Site) -> None:
    await site.start(*SESSIONS, CONTROLLER)
    await site.house.stop("session-recorder")
    session, begin = await site.create()
    assert isinstance(await refusal(site.begin(session, begin)), Unavailable)
    found = await site.get(session)
    assert (found.state, found.ending) == ("ended", "not_recorded")
    assert begin.port not in site.displays.desks
    assert (await site.closed(session)).state == "failed"
