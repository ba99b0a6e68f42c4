"""Scenarios of desks.py: what a desktop's user can do to its recorder, and to another desktop of the host."""

import asyncio
from typing import Any

from lab import person
from lab.workplace import Workplace
from lucid.contracts import session_api
from lucid.contracts.rdp_manager import Connection
from lucid.contracts.session_access import AccessQuery
from lucid.contracts.xrdp import display_number
from tests.site.desk_host import ended, nothing_left, on, probed, told, verified

EVICTIONS = 2


async def evicted(workplace: Workplace) -> dict[str, object]:
    """A desktop's user has the X server throw the recorder out: a named gap or the end, as policies say."""
    return {"gap": await _evict_and_go_on(workplace), "end": await _evict_and_end(workplace)}


async def _evict_and_go_on(workplace: Workplace) -> dict[str, object]:
    policy = await workplace.policy("evicts gap", on_recorder_loss="gap")
    connection = await workplace.open(policy, "evicts gap")
    session, gone = connection.session.id, []
    with person.seated() as somebody, person.connected(somebody, connection):
        await workplace.until(session, "connected")
        await asyncio.sleep(2)
        await asyncio.to_thread(somebody.click, 400, 300)
        for _ in range(EVICTIONS):
            gone.append(await asyncio.to_thread(probed, somebody, connection, "evict", 1))
            await asyncio.sleep(3)
        assert (await workplace.desktop(session)).state == "connected"
    await ended(workplace, connection)
    report = await verified(workplace, session)
    assert report.manifest is not None
    gaps = [(gap.cause, gap.end_ms - gap.start_ms) for gap in report.manifest.gaps]
    return {"cut_off": gone, "gaps_ms": gaps, "end": report.manifest.end_reason}


async def _evict_and_end(workplace: Workplace) -> dict[str, object]:
    connection = await workplace.open(await workplace.policy("evicts end"), "evicts end")
    session, host, port = connection.session.id, connection.session.host, connection.port
    with person.seated() as somebody, person.connected(somebody, connection):
        await workplace.until(session, "connected")
        await asyncio.sleep(2)
        await asyncio.to_thread(somebody.click, 400, 300)
        await asyncio.to_thread(probed, somebody, connection, "evict", 1)
        gone = await workplace.until(session, "ended")
    await nothing_left(host, port)
    report = await verified(workplace, session)
    assert report.manifest is not None
    rows = (await workplace.api.call(session_api.ACCESSES, AccessQuery(session))).accesses
    violations = [(row.reason, row.detail, row.state) for row in rows if row.what == "violation"]
    gaps = [gap.cause for gap in report.manifest.gaps]
    return {
        "ending": gone.ending,
        "detail": gone.detail,
        "violations": violations,
        "gaps": gaps,
        "end": report.manifest.end_reason,
    }


async def neighbours(workplace: Workplace) -> dict[str, object]:
    """Two desktops of one host at once: the user of each tries what it can reach of the other."""
    policy = await workplace.policy("neighbours")
    one, two = [await workplace.open(policy, name) for name in ("one", "two")]
    assert one.session.host == two.session.host, "two hosts: nothing is shown"
    with (
        person.seated() as left,
        person.seated() as right,
        person.connected(left, one),
        person.connected(right, two),
    ):
        for connection in (one, two):
            await workplace.until(connection.session.id, "connected")
        await asyncio.sleep(2)
        await asyncio.to_thread(_leave, left, one)
        await asyncio.to_thread(_leave, right, two)
        found = [
            await asyncio.to_thread(_reached, left, one, two),
            await asyncio.to_thread(_reached, right, two, one),
        ]
        for connection in (one, two):
            assert (await workplace.desktop(connection.session.id)).state == "connected"
        for connection in (one, two):
            await workplace.end(connection.session.id)
    for connection in (one, two):
        await workplace.until(connection.session.id, "ended")
        await nothing_left(connection.session.host, connection.port)
        report = await verified(workplace, connection.session.id)
        assert report.manifest is not None
        assert report.manifest.gaps == (), "a recorder was disturbed"
    return {"reached": found}


def _leave(somebody: person.Person, own: Connection) -> None:
    """Something of one's own in every place that is shared with anybody."""
    somebody.click(400, 300)
    places = "/tmp/mine /var/tmp/mine /dev/shm/mine"  # noqa: S108 - as programs use them
    assert (
        told(somebody, own, f"for f in {places}; do echo x >$f; chmod 666 $f; done; cat {places}")
        == "x\nx\nx"
    )


def _reached(somebody: person.Person, own: Connection, other: Connection) -> Any:
    somebody.click(400, 300)
    script = f"""
    cat /sys/fs/cgroup/systemd/lucid.slice/lucid-rdp.slice/lucid-rdp-{other.port}.slice/*/cgroup.procs
    pgrep -f 'lucid.sessions.grab|ffmpeg|session-recorder|rdp.agent'
    """
    processes = [int(pid) for pid in on(own.session.host, script).split()]
    assert len(processes) > 5, processes
    asked = {"displays": [display_number(other.port)], "ports": [other.port], "processes": processes}
    return probed(somebody, own, "neighbour", asked)
