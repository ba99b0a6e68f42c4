"""Reads what control groups have used: of version 2, and of version 1 with its hierarchies.

Slots are looked for below the group that holds Lucid's own services, wherever that is: a host may itself be
in a control group of another one.
"""

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from lucid.rdp import cgroup_files as files
from lucid.rdp import slots

T = TypeVar("T")
UNIFIED = ""
"""The name of version 2's hierarchy in /proc/PID/cgroup."""
_FIRST = ("systemd", UNIFIED, "pids", "memory", "cpuacct", "blkio", "cpu")
"""By which hierarchy a slot is known: the first that has it. systemd's has every unit."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a slot's processes have used. None: this host does not count that."""

    cpu_seconds: float | None = None
    cpu_limit_cores: float | None = None
    throttled_seconds: float | None = None
    memory_bytes: int | None = None
    memory_peak_bytes: int | None = None
    memory_limit_bytes: int | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None
    processes: int = 0
    tasks: int | None = None
    task_limit: int | None = None
    oom_kills: Mapping[str, int] = field(default_factory=dict)
    """By group: version 1 counts them where they happen, and forgets them with the group."""


@dataclass(frozen=True)
class Slot:
    """A slot that exists: `identity` is another one when its slice has been made anew."""

    port: int
    identity: tuple[int, int]
    usage: Usage


class Cgroups:
    """The slots of a host. `root`: where control groups are mounted; `own`: text of /proc/self/cgroup."""

    def __init__(self, root: Path, own: str) -> None:
        paths = files.own_paths(own)
        self._unified = (root / "cgroup.controllers").exists()
        mounts = {UNIFIED: root} if self._unified else _mounts(root)
        self._tops = {name: _tops(mount, paths.get(name, "/")) for name, mount in mounts.items()}

    def slots(self) -> list[Slot]:
        """All slots there are now. Raises OSError, ValueError where one cannot be read."""
        places: dict[int, dict[str, Path]] = {}
        for name in self._tops:
            for port, group in self._listed(name):
                places.setdefault(port, {})[name] = group
        found = []
        for port, groups in sorted(places.items()):
            home = next(groups[name] for name in _FIRST if name in groups)
            try:
                told = home.stat()
            except FileNotFoundError:
                continue  # it ended while it was looked at
            usage = _usage(groups[UNIFIED], home) if self._unified else _usage_v1(groups, home)
            found.append(Slot(port, (told.st_dev, told.st_ino), usage))
        return found

    def _listed(self, name: str) -> Iterator[tuple[int, Path]]:
        for top in self._tops[name]:
            parent = top.joinpath(*slots.PARENTS)
            try:
                names = [path.name for path in parent.iterdir()]
            except FileNotFoundError:
                continue
            for each in names:
                if (port := slots.port_of(each)) is not None:
                    yield port, parent / each
            return


def _mounts(root: Path) -> dict[str, Path]:
    """Where the hierarchies of version 1 are, by controller: one may have several, as `cpu,cpuacct`."""
    found: dict[str, Path] = {}
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        if path.is_dir():
            found |= {name: path for name in path.name.split(",") if name in _FIRST}
    return found


def _tops(mount: Path, own: str) -> list[Path]:
    """Where `lucid.slice` may be: beside this process's own one, else at the mount's top."""
    above, _, _ = own.partition(f"/{slots.PARENTS[0]}/")
    return [mount / above.lstrip("/"), mount] if above != own else [mount]


def _usage(group: Path, home: Path) -> Usage:
    used = _read(group / "memory.current", files.number)
    read, written = _read(group / "io.stat", files.transferred) or (None, None)
    cpu = _read(group / "cpu.stat", files.fields) or {}
    kills = _read(group / "memory.events", lambda text: files.field(text, "oom_kill"))
    return Usage(
        cpu_seconds=_seconds(cpu.get("usage_usec"), files.MICROSECONDS),
        cpu_limit_cores=_read(group / "cpu.max", files.cores),
        throttled_seconds=_seconds(cpu.get("throttled_usec"), files.MICROSECONDS),
        memory_bytes=_held(used, group, "inactive_file"),
        memory_peak_bytes=_read(group / "memory.peak", files.number),
        memory_limit_bytes=_read(group / "memory.max", files.limit),
        read_bytes=read,
        written_bytes=written,
        processes=_processes(home),
        tasks=_read(group / "pids.current", files.number),
        task_limit=_read(group / "pids.max", files.limit),
        oom_kills={} if kills is None else {"": kills},
    )


def _usage_v1(groups: Mapping[str, Path], home: Path) -> Usage:
    def of(controller: str, file: str, parse: Callable[[str], T]) -> T | None:
        return _read(groups[controller] / file, parse) if controller in groups else None

    memory = groups.get("memory")
    used = of("memory", "memory.usage_in_bytes", files.number)
    read, written = of("blkio", "blkio.throttle.io_service_bytes_recursive", files.transferred_v1) or (
        None,
        None,
    )
    quota, period = (of("cpu", f"cpu.cfs_{name}_us", str) for name in ("quota", "period"))
    throttled = of("cpu", "cpu.stat", lambda text: files.field(text, "throttled_time"))
    return Usage(
        cpu_seconds=_seconds(of("cpuacct", "cpuacct.usage", files.number), files.NANOSECONDS),
        cpu_limit_cores=files.cores_v1(quota, period) if quota and period else None,
        throttled_seconds=_seconds(throttled, files.NANOSECONDS),
        memory_bytes=_held(used, memory, "total_inactive_file") if memory else None,
        memory_peak_bytes=of("memory", "memory.max_usage_in_bytes", files.number),
        memory_limit_bytes=of("memory", "memory.limit_in_bytes", files.limit),
        read_bytes=read,
        written_bytes=written,
        processes=_processes(home),
        tasks=of("pids", "pids.current", files.number),
        task_limit=of("pids", "pids.max", files.limit),
        oom_kills=_kills_v1(memory) if memory else {},
    )


def _seconds(count: int | None, unit: float) -> float | None:
    return None if count is None else count * unit


def _held(used: int | None, group: Path, cache: str) -> int | None:
    """Memory in use, without the part of the file cache that can be dropped at once."""
    idle = _read(group / "memory.stat", lambda text: files.field(text, cache))
    return None if used is None else max(0, used - (idle or 0))


def _processes(group: Path) -> int:
    return sum(_read(each / "cgroup.procs", files.processes) or 0 for each in _below(group))


def _kills_v1(memory: Path) -> dict[str, int]:
    found = {}
    for each in _below(memory):
        kills = _read(each / "memory.oom_control", lambda text: files.field(text, "oom_kill"))
        if kills is not None:
            found[f"{each.relative_to(memory)} {_inode(each)}"] = kills
    return found


def _inode(group: Path) -> int:
    try:
        return group.stat().st_ino
    except FileNotFoundError:
        return 0


def _below(group: Path) -> Iterator[Path]:
    for directory, _, _ in os.walk(group):
        yield Path(directory)


def _read(path: Path, parse: Callable[[str], T]) -> T | None:
    """What a file says; None where there is none, or no longer. Raises ValueError that names the file."""
    try:
        text = path.read_text(encoding="ascii")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ENODEV:  # the group ended while the file was open
            return None
        raise
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
