"""Runs on the control host: people at remote desktops of the deployed site, and what hosts show of them.

`python -m tests.site.desks SCENARIO`. A scenario fails by an assertion; what it measured is printed as JSON.
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial

from lab import person
from lab.account import gateway
from lab.place import here
from lab.workplace import Workplace, signing_key
from lucid.cli.replay import fetch_replay
from lucid.contracts.rdp_manager import Connection
from lucid.contracts.types import SessionPath
from lucid.evidence.policy import Clipboard, Input
from tests.site import (
    desk_captures,
    desk_channels,
    desk_events,
    desk_fanout,
    desk_figures,
    desk_idle,
    desk_neighbours,
    desk_screens,
    desk_usable,
    pictures,
)
from tests.site.desk_host import HOME, ended, inside, left, nothing_left, on, verified

USABLE = Input(mouse=True, keyboard=True)
LOOKS = (
    "ls /run/lucid-rdp",
    "ls /var/lib/lucid",
    "cat /etc/lucid/tls/rdp/rdp.key",
    "ls /tmp/.X11-unix",
    "ps -eo uid= | sort -u",
    "ls /run/xrdp/sockdir",
)
Scenario = Callable[[Workplace], Awaitable[dict[str, object]]]


async def work(workplace: Workplace) -> dict[str, object]:
    """Somebody works in a desktop, leaves, comes back and ends it; strangers stay outside."""
    policy = await workplace.policy("work", input=USABLE, clipboard=Clipboard(to_desktop=True))
    begin = time.monotonic()
    connection = await workplace.open(policy, "work")
    opened = time.monotonic() - begin
    session, host, port = connection.session.id, connection.session.host, connection.port
    while (recording := await workplace.recording(session)).chunks == 0:  # its figures follow in a moment
        assert recording.state == "recording", recording
        await asyncio.sleep(0.2)
    with ExitStack() as stack:
        somebody = stack.enter_context(person.seated())
        knock = f"timeout 3 bash -c 'exec 3<>/dev/tcp/{connection.address}/{port}' && echo open"
        assert "open" not in on("core1" if host != "core1" else "edge1", knock, check=False)
        with person.connected(somebody, connection, password="wrong"):
            await asyncio.sleep(4)
            assert (await workplace.desktop(session)).state == "ready"
        with person.connected(somebody, connection):
            begin = time.monotonic()
            await workplace.until(session, "connected")
            connected = time.monotonic() - begin
            await asyncio.sleep(1)
            found = await asyncio.to_thread(_look_around, somebody, connection)
            await asyncio.to_thread(_try_the_clipboard, somebody, connection)
        await workplace.until(session, "disconnected")
        await asyncio.sleep(2)
        assert f":{port}" not in on(host, f"ss -Hltn 'sport = :{port}'"), "who is to log in?"
        with person.connected(somebody, connection):  # the same password again
            await asyncio.sleep(3)
            assert (await workplace.desktop(session)).state == "disconnected"
        again = await workplace.again(session)
        with person.connected(somebody, again):
            await workplace.until(session, "connected")
            assert inside(again, "around.txt") == found, "not the same desktop"
    assert left(host, port).strip()
    await ended(workplace, connection)
    report = await verified(workplace, session)
    assert report.manifest is not None
    assert (report.manifest.end_reason, report.manifest.gaps) == ("stopped", ())
    return {"opened": opened, "connected": connected, "around": found}


def _look_around(somebody: person.Person, connection: Connection) -> str:
    somebody.click(400, 300)
    for command in LOOKS:
        somebody.type(f"{command} >>around.txt 2>&1\n")
    somebody.type("echo end >>around.txt\n")
    person.eventually("looked around", 10, lambda: inside(connection, "around.txt").endswith("end\n"))
    return inside(connection, "around.txt")


def _try_the_clipboard(somebody: person.Person, connection: Connection) -> None:
    """What the policy lets in comes in; what it does not let out stays."""
    somebody.copy("from outside")
    time.sleep(1)
    somebody.type("clear; xclip -o -selection clipboard >in.txt\n")
    person.eventually("pasted", 10, lambda: inside(connection, "in.txt") == "from outside")
    somebody.type(
        "echo from inside | xclip -i -selection clipboard; xclip -o -selection clipboard >own.txt\n"
    )
    person.eventually("copied", 10, lambda: inside(connection, "own.txt") == "from inside\n")
    time.sleep(1)
    assert "inside" not in somebody.pasted()


async def denied(workplace: Workplace) -> dict[str, object]:
    """Under a policy that names nothing, nothing gets through: no key, no clipboard."""
    policy = await workplace.policy("denied", input=Input())
    connection = await workplace.open(policy, "denied")
    session, host = connection.session.id, connection.session.host
    with person.seated() as somebody, person.connected(somebody, connection):
        await workplace.until(session, "connected")
        await asyncio.sleep(1)
        await asyncio.to_thread(somebody.copy, "from outside")
        await asyncio.to_thread(somebody.click, 400, 300)
        await asyncio.to_thread(somebody.type, "touch typed\n")
        await asyncio.sleep(3)
        unit = f"lucid-desktop@{connection.port}.service"
        home = on(host, f"ls /proc/$(systemctl show -P MainPID {unit})/root{HOME}")
        programs = on(host, f"ps -o comm= -u $(systemctl show -P UID {unit})").split()
    assert "typed" not in home
    assert "Xorg" in programs
    assert not [name for name in programs if "chansrv" in name]
    await ended(workplace, connection)
    return {"home": home, "programs": programs}


async def churn(workplace: Workplace, times: int = 20) -> dict[str, object]:
    """Desktops opened and ended one after the other leave nothing behind."""
    policy = await workplace.policy("churn")
    opened, slots = [], set()
    for number in range(times):
        if number and number % 20 == 0:
            print(f"{number} of {times} desktops opened and ended", file=sys.stderr)  # noqa: T201
        begin = time.monotonic()
        connection = await workplace.open(policy, "churn")
        opened.append(round(time.monotonic() - begin, 2))
        slots.add((connection.session.host, connection.port))
        await workplace.end(connection.session.id)
        await workplace.until(connection.session.id, "ended")
    for host, port in slots:
        await nothing_left(host, port)
    return {"median": statistics.median(opened), "opened": opened, "slots": sorted(slots)}


async def kills(workplace: Workplace) -> dict[str, object]:
    """Whoever sees to a desktop dies; the desktop and its recording go on, or end honestly."""
    policy = await workplace.policy("kills")
    connection = await workplace.open(policy, "kills")
    session, host, port = connection.session.id, connection.session.host, connection.port

    def kill(unit: str) -> None:
        on(host, f"systemctl kill --signal KILL --kill-who main {unit}")

    with person.seated() as somebody:
        with person.connected(somebody, connection):
            await workplace.until(session, "connected")
            for service in ("session-controller", "xrdp", "session-recorder", "rdp-manager"):
                kill(f"lucid-{service}.service")
                await asyncio.sleep(5)
                assert (await workplace.until(session, "connected")).ending is None, service
            kill(f"lucid-xrdp@{port}.service")
            await workplace.until(session, "disconnected")
        again = await workplace.again(session)
        with person.connected(somebody, again):
            await workplace.until(session, "connected")
            on(host, f"pkill -KILL -u $(systemctl show -P UID lucid-desktop@{port}.service) -x Xorg")
            gone = await workplace.until(session, "ended")
    await nothing_left(host, port)
    report = await verified(workplace, session)
    assert report.manifest is not None
    causes = [gap.cause for gap in report.manifest.gaps]
    return {"ending": gone.ending, "detail": gone.detail, "gaps": causes, "end": report.manifest.end_reason}


async def clock(workplace: Workplace, seconds: int = 60) -> dict[str, object]:
    """The desktop changes its colour and notes when: the recording shows it then, and as it was seen."""
    policy = await workplace.policy("clock", input=USABLE)
    connection = await workplace.open(policy, "clock")
    session, here_at = connection.session.id, here().state
    tick = "xsetroot -solid $c; date +%s%3N; sleep 2"
    ticks = f"for i in $(seq {seconds // 4}); do for c in red blue; do {tick}; done; done"
    with person.seated() as somebody, person.connected(somebody, connection):
        await workplace.until(session, "connected")
        await asyncio.sleep(1)
        await asyncio.to_thread(somebody.click, 400, 300)
        await asyncio.to_thread(
            somebody.type, f"clear; date; {{ {ticks}; }} >ticks.txt; tput civis; echo over >over.txt\n"
        )
        until = time.monotonic() + seconds + 30
        while "over" not in inside(connection, "over.txt"):
            assert time.monotonic() < until, "the clock does not end"
            await asyncio.sleep(1)
        await asyncio.sleep(2)
        shown = [int(line) for line in inside(connection, "ticks.txt").split()]
        picture = here_at / f"{session}-seen.png"
        await asyncio.to_thread(somebody.look, picture)
        await ended(workplace, connection)
    report = await verified(workplace, session)
    assert report.manifest is not None
    file = here_at / f"{session}.mp4"
    recording = (await asyncio.to_thread(fetch_replay, gateway(here_at), SessionPath(session), file))[0]
    recorded = [report.manifest.start_ms + 1000 * at for at in pictures.changes(recording, 1200, 650)]
    late = [round(min(recorded, key=lambda at: abs(at - told)) - told) for told in shown]
    return {"late_ms": late, "likeness_db": pictures.likeness(recording, picture)}


def on_one_host(scenario: Scenario) -> Scenario:
    """The same, while only one host is given desktops: what one of them is to the other can be seen there."""

    async def alone(workplace: Workplace) -> dict[str, object]:
        _, *others = await workplace.hosts()
        for host in others:
            await workplace.drain(host.name)
        try:
            return await scenario(workplace)
        finally:
            for host in others:
                await workplace.drain(host.name, draining=False)

    return alone


SCENARIOS: dict[str, Scenario] = {
    "work": work,
    "denied": denied,
    "churn": churn,
    "usable": desk_usable.usable,
    "kills": kills,
    "captures": on_one_host(desk_captures.captures),
    "clock": clock,
    "offered": desk_channels.offered,
    "stolen": desk_channels.stolen,
    "sizes": desk_screens.sizes,
    "evicted": desk_neighbours.evicted,
    "idle": desk_idle.idle,
    "neighbours": on_one_host(desk_neighbours.neighbours),
    "clock for ten minutes": partial(clock, seconds=600),
    "churn of two hundred": partial(churn, times=200),
    "events": desk_events.events,
    "figures": on_one_host(desk_figures.figures),
    "placement": desk_fanout.placement,
    "losses": desk_fanout.losses,
}


async def main(name: str) -> None:
    """Runs one of them as whoever runs the lab."""
    state = here().state
    async with gateway(state).open() as api:
        workplace = Workplace(api, signing_key(state / "owner.key"))
        try:
            found = await SCENARIOS[name](workplace)
        except BaseException:
            await workplace.end_all()  # the next one is not to fail for this one's
            raise
    print(json.dumps(found))  # noqa: T201 - for whoever runs this


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
