"""Two hosts of remote desktops: which one gets a desktop, and what becomes of those whose host goes down."""

import asyncio
import time

from lab import cgroups, hosts, lifecycle, person
from lab.place import here
from lab.workplace import Workplace
from lucid.contracts.rdp_manager import Connection, Policy, RdpHost, RdpSession
from lucid.evidence.bundle import BundleReader
from lucid.evidence.policy import Input
from tests.site.desk_host import nothing_left, on, verified
from tests.site.recorded import SPOOL

USABLE = Input(mouse=True, keyboard=True)
CHUNK_SECONDS = 30.0
LOST_SECONDS = 75.0
"""For a host that is off: 30 s of silence, and those who ask meanwhile wait for it."""
BACK_SECONDS = 120.0
TRIES = 3


async def placement(workplace: Workplace) -> dict[str, object]:
    """Desktops spread over hosts; a host that drains keeps its own and gets no other, however idle it is."""
    one, other = await _both_idle(workplace)
    policy = await workplace.policy("placement")
    first = await workplace.open(policy, "first")
    if first.session.host != one:
        one, other = other, one
    second = await _lands_on(workplace, policy, other)
    told = await workplace.drain(one)
    try:
        assert (told.draining, told.sessions) == (True, 1)
        third = await workplace.open(policy, "third")
        assert third.session.host == other
        assert (await workplace.desktop(first.session.id)).state == "ready", "drained, and ended with that"
        await _end(workplace, first)
        fourth = await workplace.open(policy, "fourth")
        assert fourth.session.host == other, "it drains, and got a desktop"
        await _end(workplace, fourth)
    finally:
        await workplace.drain(one, draining=False)
    fifth = await _lands_on(workplace, policy, one)
    for connection in (second, third, fifth):
        await _end(workplace, connection)
    opened = (first, second, third, fourth, fifth)
    for connection in opened:
        await nothing_left(connection.session.host, connection.port)
    return {"hosts": [connection.session.host for connection in opened]}


async def losses(workplace: Workplace) -> dict[str, object]:
    """One host loses its power in mid-session, later the other is restarted: both sessions end honestly."""
    one, other = await _both_idle(workplace)
    policy = await workplace.policy("losses", input=USABLE)
    first = await workplace.open(policy, "power cut")
    second = await _lands_on(workplace, policy, other if first.session.host == one else one)
    with (
        person.seated() as somebody,
        person.seated() as another,
        person.connected(somebody, first),
        person.connected(another, second),
    ):
        for connection in (first, second):
            await workplace.until(connection.session.id, "connected")
        found: dict[str, object] = {
            "power cut": await _power_cut(workplace, policy, first, second),
            "restart": await _restart(workplace, second),
        }
    return found


async def _end(workplace: Workplace, connection: Connection) -> None:
    await workplace.end(connection.session.id)
    await workplace.until(connection.session.id, "ended")


async def _lands_on(workplace: Workplace, policy: Policy, host: str) -> Connection:
    """A desktop on the host that has fewest.

    Tried again where it went elsewhere: hosts of the lab share their processors, so that a moment may make
    either of them seem too busy.
    """
    for _ in range(TRIES):
        connection = await workplace.open(policy, f"for {host}")
        if connection.session.host == host:
            return connection
        await _end(workplace, connection)
    raise AssertionError(f"{host} has fewest desktops and got none: {await workplace.hosts()}")


async def _power_cut(
    workplace: Workplace, policy: Policy, lost: Connection, untouched: Connection
) -> dict[str, object]:
    """What a power cut does to a desktop, and does not do to one on the other host."""
    lab, name = here(), lost.session.host
    acknowledged = await _acknowledged(workplace, lost)
    hosts.kill(lab, lab.inventory.hosts[name])
    begun = time.monotonic()
    slowest, gone = await _until_ended(workplace, lost)
    known = time.monotonic() - begun
    assert gone.ending == "host_lost", gone
    elsewhere = await workplace.open(policy, "meanwhile")
    assert elsewhere.session.host == untouched.session.host
    await _end(workplace, elsewhere)
    before = len(await _acknowledged(workplace, untouched))
    await asyncio.to_thread(lifecycle.start, lab, lab.inventory.hosts[name])
    await nothing_left(name, lost.port)
    await _all_answer(workplace)
    back = time.monotonic() - begun - known
    still = await workplace.desktop(untouched.session.id)
    assert still.state == "connected", still
    assert len(await _acknowledged(workplace, untouched, more_than=before)) > before
    again = await _lands_on(workplace, policy, name)
    assert again.port == lost.port
    await _end(workplace, again)
    return {
        "detail": gone.detail,
        "known": round(known, 1),
        "slowest answer": round(slowest, 1),
        "back": round(back, 1),
        **await _recorded(workplace, lost, acknowledged),
    }


async def _restart(workplace: Workplace, lost: Connection) -> dict[str, object]:
    """What an orderly restart of its host does to a desktop."""
    lab, name = here(), lost.session.host
    acknowledged = await _acknowledged(workplace, lost)
    before = cgroups.leader(lab, name)
    on(name, "systemctl reboot", check=False)  # the connection may go before the answer
    slowest, gone = await _until_ended(workplace, lost)
    assert gone.ending == "host_lost", gone

    def another() -> bool:
        return cgroups.leader(lab, name) not in {None, before}

    await asyncio.to_thread(person.eventually, f"a restarted {name}", BACK_SECONDS, another)
    await asyncio.to_thread(hosts.await_up, lab, [lab.inventory.hosts[name]])
    await nothing_left(name, lost.port)
    await _all_answer(workplace)
    return {
        "detail": gone.detail,
        "slowest answer": round(slowest, 1),
        **await _recorded(workplace, lost, acknowledged),
    }


async def _until_ended(workplace: Workplace, connection: Connection) -> tuple[float, RdpSession]:
    """Asks until a desktop has ended; the seconds that the slowest answer took, and the desktop."""
    slowest, until = 0.0, time.monotonic() + LOST_SECONDS
    while True:
        asked = time.monotonic()
        found = await workplace.desktop(connection.session.id)
        slowest = max(slowest, time.monotonic() - asked)
        if found.state == "ended":
            return slowest, found
        assert time.monotonic() < until, found
        await asyncio.sleep(0.5)


async def _acknowledged(workplace: Workplace, connection: Connection, *, more_than: int = 0) -> list[bytes]:
    """The receipts that a session's recorder has so far, once there are more than so many."""
    session, until = connection.session.id, time.monotonic() + CHUNK_SECONDS
    while True:
        script = f"cat {SPOOL}/{session}/leaves.jsonl 2>/dev/null || true"
        lines = on(connection.session.host, script).encode().splitlines()
        if len(lines) > more_than:
            return lines
        assert time.monotonic() < until, f"no chunk acknowledged within {CHUNK_SECONDS:g} s"
        await asyncio.sleep(0.5)


async def _recorded(
    workplace: Workplace, connection: Connection, acknowledged: list[bytes]
) -> dict[str, object]:
    """The recording of a session whose host went down: verified, with all that had been acknowledged."""
    session = connection.session.id
    report = await verified(workplace, session)
    manifest = report.manifest
    assert manifest is not None
    with (here().state / f"{session}.lucid").open("rb") as file:
        leaves = BundleReader(file).parts.leaves
    assert leaves[: len(acknowledged)] == tuple(acknowledged)
    return {
        "acknowledged before": len(acknowledged),
        "chunks": manifest.count,
        "end": manifest.end_reason,
        "gaps": [gap.cause for gap in manifest.gaps],
    }


async def _both_idle(workplace: Workplace) -> tuple[str, str]:
    """The two hosts' names, once both take desktops; neither has any."""
    one, other = await _all_answer(workplace)
    assert not one.sessions + other.sessions, "there are desktops of others"
    return one.name, other.name


async def _all_answer(workplace: Workplace) -> tuple[RdpHost, ...]:
    """The hosts, once all of them answer and take desktops."""
    until = time.monotonic() + BACK_SECONDS
    while True:
        found = await workplace.hosts()
        if all(host.answers and not host.draining and host.cpu_busy is not None for host in found):
            return found
        assert time.monotonic() < until, found
        await asyncio.sleep(0.5)
