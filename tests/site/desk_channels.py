"""Scenarios of desks.py: what a client offers or steals, and what comes of it under a policy."""

import asyncio
import time

from lab import person
from lab.workplace import Workplace
from lucid.contracts import rdp_manager as manager
from lucid.contracts.rdp_manager import Connection
from lucid.contracts.types import SessionPath
from lucid.evidence.policy import Clipboard
from tests.site.desk_host import ended, inside, on, told
from tests.site.strangers import stranger

OFFERED = (
    *("+clipboard", "/drive:offered,/etc", "+home-drive", "+drives", "/printer:offered", "/smartcard"),
    *("/sound:sys:fake", "/microphone:sys:alsa", "/serial:offered,/dev/null", "/parallel:offered,/dev/null"),
)
"""All that FreeRDP can bring along."""


async def offered(workplace: Workplace) -> dict[str, object]:
    """A client that brings all it has finds keyboard, mouse and picture; one-way clipboards are one-way."""
    found = await _all_off(workplace)
    await _clipboard_from_the_desktop(workplace)
    return found


async def _all_off(workplace: Workplace) -> dict[str, object]:
    connection = await workplace.open(await workplace.policy("input only"), "offered")
    session, host, port = connection.session.id, connection.session.host, connection.port
    before = set(await asyncio.to_thread(_mounts, connection))
    with person.seated() as somebody, person.connected(somebody, connection, options=OFFERED) as client:
        await workplace.until(session, "connected")
        await asyncio.sleep(2)
        await asyncio.to_thread(somebody.click, 400, 300)
        await asyncio.to_thread(_no_clipboard, somebody, connection)
        found: dict[str, object] = {
            "home": (await asyncio.to_thread(told, somebody, connection, "ls -A ~ /media /mnt")).split(),
            "mounts": sorted(set(await asyncio.to_thread(_mounts, connection)) - before),
            "programs": await asyncio.to_thread(_programs, connection),
            "sockets": on(host, f"ls /run/lucid-rdp/{port}/sockets").split(),
            "sound": await asyncio.to_thread(told, somebody, connection, "ls /dev/snd; ls $XDG_RUNTIME_DIR"),
        }
        assert client.poll() is None, "the client did not take what it was given"
        assert (await workplace.desktop(session)).state == "connected"
    await ended(workplace, connection)
    return found


async def _clipboard_from_the_desktop(workplace: Workplace) -> None:
    policy = await workplace.policy("hands out", clipboard=Clipboard(from_desktop=True))
    connection = await workplace.open(policy, "hands out")
    with person.seated() as somebody, person.connected(somebody, connection):
        await workplace.until(connection.session.id, "connected")
        await asyncio.sleep(2)
        await asyncio.to_thread(somebody.click, 400, 300)
        await asyncio.to_thread(_only_from_the_desktop, somebody, connection)
    await ended(workplace, connection)


def _only_from_the_desktop(somebody: person.Person, connection: Connection) -> None:
    somebody.type("echo from inside | xclip -i -selection clipboard\n")
    person.eventually("copied out", 10, lambda: somebody.pasted() == "from inside\n")
    somebody.copy("from outside")
    time.sleep(2)
    assert "outside" not in told(somebody, connection, "timeout 3 xclip -o -selection clipboard")


def _no_clipboard(somebody: person.Person, connection: Connection) -> None:
    somebody.copy("from outside")
    time.sleep(2)
    assert "outside" not in told(somebody, connection, "timeout 3 xclip -o -selection clipboard")
    somebody.type(
        "echo from inside | xclip -i -selection clipboard; xclip -o -selection clipboard >own.txt\n"
    )
    person.eventually("copied", 10, lambda: inside(connection, "own.txt") == "from inside\n")
    time.sleep(2)
    assert somebody.pasted() == "from outside"


def _mounts(connection: Connection) -> list[str]:
    unit = f"lucid-desktop@{connection.port}.service"
    script = f"awk '{{print $2, $3}}' /proc/$(systemctl show -P MainPID {unit})/mounts"
    return on(connection.session.host, script).splitlines()


def _programs(connection: Connection) -> list[str]:
    unit = f"lucid-desktop@{connection.port}.service"
    return on(connection.session.host, f"ps -o comm= -u $(systemctl show -P UID {unit})").split()


async def stolen(workplace: Workplace) -> dict[str, object]:
    """A password is of use from the admitted address only: not from another one, not for another desktop."""
    policy = await workplace.policy("stolen")
    connection = await workplace.open(policy, "stolen")
    session, host, port = connection.session.id, connection.session.host, connection.port
    with stranger() as (there, address), person.seated() as thief, person.seated() as owner:
        with person.connected(thief, connection, within=there):
            await asyncio.sleep(4)
            seen = on(host, f"ss -Htn 'sport = :{port}'")
            assert (await workplace.desktop(session)).state == "ready"
            assert str(address) not in seen, "the firewall let it through"
        with person.connected(owner, connection):  # nobody has used it up
            await workplace.until(session, "connected")
            with person.connected(thief, connection, within=there):
                await asyncio.sleep(3)
                assert (await workplace.desktop(session)).client != str(address)
        await workplace.until(session, "disconnected")
        # The other way round: what keeps the stranger out is its address, not its network.
        moved = await workplace.api.call(
            manager.CONNECT, SessionPath(session), manager.Connect(client=str(address))
        )
        with person.connected(owner, moved):
            await asyncio.sleep(3)
            assert (await workplace.desktop(session)).state == "disconnected"
        with person.connected(thief, moved, within=there):
            await workplace.until(session, "connected")
            assert (await workplace.desktop(session)).client == str(address)
    await ended(workplace, connection)
    return {"stranger": str(address)}
