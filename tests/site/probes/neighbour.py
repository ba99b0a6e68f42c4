"""What a desktop's user reaches of others on the same host: displays, memory, files, processes, listeners.

Runs in a desktop, as its user. Everything that works is told; nothing should.
"""

import ctypes
import os
import signal
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

PTRACE_ATTACH = 16
SOCKET = "/tmp/.X11-unix/X"  # noqa: S108 - where X servers put them
SHARED = ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run/user")  # noqa: S108 - what others leave there


def tried(what: str, found: dict[str, str], attempt: Callable[[], object]) -> None:
    """Notes in `found` what an attempt has brought, if it has brought anything."""
    try:
        result = attempt()
    except OSError:
        return
    if result not in (None, "", [], b""):
        found[what] = str(result)[:200]


def connected(family: int, address: Any) -> str:
    with socket.socket(family) as made:
        made.settimeout(2)
        made.connect(address)
    return "connected"


def signalled(pid: int, number: int) -> str:
    os.kill(pid, number)
    return "done"


def traced(pid: int) -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(PTRACE_ATTACH, pid, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")
    return "attached"


def memory_of_others() -> list[list[str]]:
    """Rows of the System V tables that belong to other users."""
    found: list[list[str]] = []
    for kind in ("shm", "sem", "msg"):
        rows = [line.split() for line in Path(f"/proc/sysvipc/{kind}").read_text().splitlines()]
        at = rows[0].index("uid")
        found += [row for row in rows[1:] if int(row[at]) != os.getuid()]
    return found


def files_of_others(place: str) -> list[str]:
    """Names in a directory that belong to neither root nor this user, but for X servers' sockets."""
    own = {0, os.getuid()}
    found = [e for e in os.scandir(place) if e.stat(follow_symlinks=False).st_uid not in own]
    return [each.path for each in found if each.name != Path(SOCKET).parent.name]


def main(asked: dict[str, list[int]]) -> dict[str, str]:
    """`displays` and `ports` of others, `processes` of theirs and of the recorder's."""
    found: dict[str, str] = {}
    for number in asked["displays"]:
        path = f"{SOCKET}{number}"
        tried(f"{path}", found, partial(connected, socket.AF_UNIX, path))
        tried(f"@{path}", found, partial(connected, socket.AF_UNIX, "\0" + path))
        tcp = ("127.0.0.1", 6000 + number)
        tried(f"{tcp}", found, partial(connected, socket.AF_INET, tcp))
    for port in asked["ports"]:
        tried(f"port {port}", found, partial(connected, socket.AF_INET, ("127.0.0.1", port)))
    for pid in asked["processes"]:
        tried(f"/proc/{pid}", found, partial(os.listdir, f"/proc/{pid}"))
        tried(f"environ of {pid}", found, Path(f"/proc/{pid}/environ").read_bytes)
        tried(f"root of {pid}", found, partial(os.listdir, f"/proc/{pid}/root"))
        tried(f"stop {pid}", found, partial(signalled, pid, signal.SIGSTOP))
        tried(f"kill {pid}", found, partial(signalled, pid, signal.SIGKILL))
        tried(f"trace {pid}", found, partial(traced, pid))
    tried("memory", found, memory_of_others)
    for place in SHARED:
        tried(f"files in {place}", found, partial(files_of_others, place))
    for place in ("/run/lucid-rdp", "/var/lib/lucid", "/etc/lucid", "/opt/lucid", "/run/lucid", "/root"):
        tried(place, found, partial(os.listdir, place))
    return found
