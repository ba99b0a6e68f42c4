"""Control groups: one for each host in every hierarchy, by which its processes are found, and its memory."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from lab.place import Lab

MOUNTS = Path("/proc/self/mounts")


def hierarchies() -> list[Path]:
    """Where hierarchies of control groups are mounted; not cpuset, whose groups start without processors."""
    mounts = (line.split() for line in MOUNTS.read_text().splitlines())
    roots = [Path(where) for _, where, kind, *_ in mounts if kind in {"cgroup", "cgroup2"}]
    return [root for root in roots if root.name != "cpuset"]


def make(lab: Lab, member: str) -> list[Path]:
    """Makes a member's group in every hierarchy; returns the files that a process writes its id to."""
    groups = [root / lab.cgroup / member for root in hierarchies()]
    for group in groups:
        group.mkdir(parents=True, exist_ok=True)
    return [group / "cgroup.procs" for group in groups]


def processes(lab: Lab, member: str = "") -> set[int]:
    """The ids of all processes of a member, or of the whole lab."""
    joined_first = hierarchies()[0]
    return set(_below(joined_first / lab.cgroup / member))


def leader(lab: Lab, member: str) -> int | None:
    """The id of a host's first process, or None if the host is off."""
    return next(iter(leaders(lab, member)), None)


def leaders(lab: Lab, member: str = "") -> list[int]:
    """The ids of the first processes of all hosts that are on."""
    return sorted(pid for pid in processes(lab, member) if _first(pid))


def memory(lab: Lab, member: str) -> int:
    """The memory that a host uses, in bytes, without the part of its file cache that it would give back."""
    for root in hierarchies():
        group = root / lab.cgroup / member
        if (usage := group / "memory.usage_in_bytes").exists():
            counts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            return max(0, int(usage.read_text()) - int(counts["total_inactive_file"]))
    return 0


def remove(lab: Lab) -> None:
    """Removes the lab's groups, which are empty."""
    for root in hierarchies():
        for group in sorted((root / lab.cgroup).glob("**/"), reverse=True):
            group.rmdir()


def _below(group: Path) -> Iterator[int]:
    for directory, _, _ in os.walk(group):
        with suppress(OSError):  # the group went away while it was read
            yield from (int(line) for line in Path(directory, "cgroup.procs").read_text().split())


def _first(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    ids = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])
    return len(ids) == 2 and ids[1] == "1"
