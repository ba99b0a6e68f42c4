"""Who records a desktop, as its host shows it: a user for each, who sees nothing of the others."""

import asyncio
import json
import shlex
from dataclasses import dataclass

from lab.workplace import Workplace
from lucid.contracts.rdp_manager import Connection
from lucid.contracts.xrdp import display_number
from tests.site.desk_host import ended, on, verified

LENT = range(61184, 65520)
"""The numbers of users that systemd lends."""
LOOK = """
import json, os, socket, sys

def tried(what):
    try:
        return str(what())[:80]
    except OSError as error:
        return type(error).__name__

def connected(family, address):
    with socket.socket(*family) as one:
        one.connect(address)

own, other, recorder, port = sys.argv[1:]
unix = (socket.AF_UNIX, socket.SOCK_SEQPACKET), "/run/lucid-capture/socket"
print(json.dumps({
    "user": os.getuid() == int(own) == os.geteuid(),
    "other's files": tried(lambda: os.listdir(f"/proc/{other}/fd")),
    "other's environment": tried(lambda: open(f"/proc/{other}/environ").read()),
    "other's memory": tried(lambda: open(f"/proc/{other}/mem", "r+b")),
    "other's end": tried(lambda: os.kill(int(other), 9)),
    "recorder's files": tried(lambda: os.listdir(f"/proc/{recorder}/fd")),
    "recorder's end": tried(lambda: os.kill(int(recorder), 9)),
    "slots": tried(lambda: os.listdir("/run/lucid-rdp")),
    "display": tried(lambda: os.listdir(f"/run/lucid-rdp/{port}/x11")),
    "spool": tried(lambda: os.listdir("/var/lib/lucid/session-recorder")),
    "keys": tried(lambda: os.listdir("/etc/lucid/tls")),
    "another capture": tried(lambda: connected(*unix)),
    "loopback": tried(lambda: connected((socket.AF_INET,), ("127.0.0.1", 8084))),
    "network": tried(lambda: connected((socket.AF_INET,), ("172.20.0.1", 22))),
    "interfaces": sorted(name for _, name in socket.if_nameindex()),
    "writable": [path for path in ("/", "/etc", "/run", "/var", "/dev", "/dev/shm", "/opt")
                 if os.access(path, os.W_OK)],
}))
"""
NOTHING = {"FileNotFoundError", "PermissionError", "ProcessLookupError"}


@dataclass(frozen=True)
class Captured:
    """A capture on its host: the grabber's process, user and unit, and the programs of that user."""

    pid: int
    uid: int
    unit: str
    programs: tuple[str, ...]


def captured(connection: Connection) -> Captured:
    """The capture of a desktop."""
    pattern = f"[l]ucid.sessions.grab {display_number(connection.port)} "  # not the shell that looks for it
    found = on(
        connection.session.host,
        f"""
        pid=$(pgrep -o -f {shlex.quote(pattern)})
        echo $pid $(stat -c %u /proc/$pid) $(grep -o -m 1 'lucid-capture@[^/]*' /proc/$pid/cgroup)
        ps -o args= -u $(stat -c %u /proc/$pid)
        """,
    )
    first, *programs = found.splitlines()
    pid, uid, unit = first.split()
    return Captured(int(pid), int(uid), unit, tuple(programs))


def looked(connection: Connection, own: Captured, other: Captured) -> dict[str, object]:
    """What somebody sees who has taken over a capture: its user, mounts and network, fewer bars."""
    host = connection.session.host
    recorder = on(host, "systemctl show -P MainPID lucid-session-recorder.service").strip()
    look = [
        "/usr/bin/python3",
        "-I",
        "-c",
        LOOK,
        str(own.uid),
        str(other.pid),
        recorder,
        str(connection.port),
    ]
    enter = ["nsenter", "-t", str(own.pid), "-m", "-n", "-i", "-S", str(own.uid), "-G", str(own.uid)]
    told: dict[str, object] = json.loads(on(host, shlex.join([*enter, *look])))
    return told


async def captures(workplace: Workplace) -> dict[str, object]:
    """Two desktops have users of their own for capture and listener. A killed capture is a named gap."""
    policy = await workplace.policy("captures")
    one, other = await workplace.open(policy, "one"), await workplace.open(policy, "other")
    host = one.session.host
    first, second = await asyncio.to_thread(captured, one), await asyncio.to_thread(captured, other)
    recorder = int(on(host, "id -u lucid-session-recorder"))
    listeners = [int(on(host, f"systemctl show -P UID lucid-xrdp@{each.port}")) for each in (one, other)]
    assert len({first.uid, second.uid, recorder, *listeners}) == 5
    assert set(listeners) < set(LENT)
    for each in (first, second):
        assert each.uid in LENT
        assert [name for name in each.programs if "ffmpeg" in name]
        assert len(each.programs) == 3, each.programs
    found = await asyncio.to_thread(looked, one, first, second)
    assert found.pop("user") is True
    assert found.pop("writable") == []
    assert found.pop("interfaces") == ["lo"]
    assert found.pop("loopback") in {"OSError", "ConnectionRefusedError"}  # of a network of its own
    assert found.pop("network") == "OSError"
    assert {name: how for name, how in found.items() if how not in NOTHING} == {}
    for kill in ("pkill -KILL -x ffmpeg -u {0.uid}", "systemctl kill -s KILL {0.unit}"):
        await asyncio.to_thread(on, host, kill.format(first))
        await _begun_again(one, first)
        first = await asyncio.to_thread(captured, one)
        await asyncio.sleep(6)
    await ended_both(workplace, one, other)
    gaps = {}
    for name, connection in (("one", one), ("other", other)):
        report = await verified(workplace, connection.session.id)
        assert report.manifest is not None
        gaps[name] = [gap.cause for gap in report.manifest.gaps]
    return {"users": [first.uid, second.uid, recorder, *listeners], "found": found, "gaps": gaps}


async def _begun_again(connection: Connection, before: Captured) -> None:
    for _ in range(50):
        try:
            if (await asyncio.to_thread(captured, connection)).unit != before.unit:
                return
        except (AssertionError, ValueError):
            pass  # between two captures there is none
        await asyncio.sleep(0.3)
    raise AssertionError("no other capture was begun")


async def ended_both(workplace: Workplace, one: Connection, other: Connection) -> None:
    """Ends two desktops; then nothing may be left of either."""
    await workplace.end(other.session.id)
    await workplace.until(other.session.id, "ended")
    await ended(workplace, one)
