"""Looks at this host, once: what `measuring` makes figures of. The only place that knows where to look."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from lucid.rdp import proc_files, slots
from lucid.rdp.cgroups import Cgroups
from lucid.rdp.connections import Connections
from lucid.rdp.measuring import HostReading, Reading


@dataclass(frozen=True)
class Places:
    """Where the kernel and the spools are."""

    proc: Path
    cgroups: Path
    disk: Path


class Looking:
    """Reads a host again and again. `connections` is None where the kernel does not tell of them."""

    def __init__(self, places: Places, connections: Connections | None) -> None:
        self._places = places
        self._connections = connections

    def look(self) -> Reading:
        """All figures at this time. Raises OSError, ValueError where one cannot be read."""
        # Connections first: of a session that begins meanwhile none can be missed.
        connections = self._connections.look() if self._connections else None
        proc = self._places.proc
        own = (proc / "self" / "cgroup").read_text()
        return Reading(
            at=time.monotonic(),
            ms=time.time_ns() // 1_000_000,
            host=self._host(proc),
            slots=tuple(Cgroups(self._places.cgroups, own).slots()),
            connections=connections,
        )

    def _host(self, proc: Path) -> HostReading:
        disk = os.statvfs(self._places.disk)
        # By way of `self`: /proc/net itself is hidden from most services.
        received, sent = proc_files.network((proc / "self" / "net" / "dev").read_text())
        return HostReading(
            processors=proc_files.processors((proc / "stat").read_text()),
            memory=proc_files.memory((proc / "meminfo").read_text()),
            load=proc_files.load((proc / "loadavg").read_text()),
            disk_total=disk.f_blocks * disk.f_frsize,
            disk_free=disk.f_bavail * disk.f_frsize,
            received=received,
            sent=sent,
        )

    def close(self) -> None:
        """Gives back what was opened."""
        if self._connections:
            self._connections.close()


def connections() -> Connections | None:
    """The connections of all slots, if this kernel and this sandbox tell of them."""
    try:
        made = Connections(slots.PORTS)
    except OSError:
        return None
    try:
        made.look()
    except OSError:
        made.close()
        return None
    return made
