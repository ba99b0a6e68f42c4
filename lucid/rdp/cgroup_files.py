"""What the files of a control group say, of both versions. Pure parsing: text in, numbers out.

Each function raises ValueError for text that is not what the kernel writes, rather than to guess.
"""

import re

UNLIMITED = 2**62
"""Version 1 writes a number near 2^63 where there is no limit."""
NANOSECONDS, MICROSECONDS = 1e-9, 1e-6

_NUMBER = re.compile(r"[0-9]{1,20}")


def number(text: str) -> int:
    """A file that is one number."""
    word = text.strip()
    if not _NUMBER.fullmatch(word):
        raise ValueError(f"a number is expected, not {word[:40]!r}")
    return int(word)


def limit(text: str) -> int | None:
    """A file that is a limit: None where there is none."""
    if text.strip() == "max":
        return None
    found = number(text)
    return found if found < UNLIMITED else None


def fields(text: str) -> dict[str, int]:
    """A file of lines `name number`: cpu.stat, memory.stat, memory.events, memory.oom_control."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if not name or not _NUMBER.fullmatch(value):
            raise ValueError(f"a line `name number` is expected, not {line[:40]!r}")
        found[name] = int(value)
    return found


def field(text: str, name: str) -> int:
    """One line's number of such a file."""
    found = fields(text)
    if name not in found:
        raise ValueError(f"no line `{name}`")
    return found[name]


def cores(text: str) -> float | None:
    """cpu.max (version 2), `quota period` in µs: the cores that it comes to; None: no limit."""
    words = text.split()
    if len(words) != 2:
        raise ValueError(f"`quota period` is expected, not {text[:40]!r}")
    return _share(None if words[0] == "max" else number(words[0]), number(words[1]))


def cores_v1(quota: str, period: str) -> float | None:
    """cpu.cfs_quota_us and cpu.cfs_period_us: the cores that they come to; None: no limit."""
    return _share(None if quota.strip() == "-1" else number(quota), number(period))


def _share(quota: int | None, period: int) -> float | None:
    if period == 0:
        raise ValueError("a period of nothing")
    return None if quota is None else quota / period


def transferred(text: str) -> tuple[int, int]:
    """io.stat (version 2), lines `8:0 rbytes=1 wbytes=2 ...`: bytes read and written, of all devices."""
    read = written = 0
    for line in text.splitlines():
        device, _, rest = line.partition(" ")
        _device(device, line)
        values = dict(pair.split("=", 1) for pair in rest.split() if "=" in pair)
        # A device that nothing was counted for yet stands there with its number alone.
        read += number(values.get("rbytes", "0"))
        written += number(values.get("wbytes", "0"))
    return read, written


def transferred_v1(text: str) -> tuple[int, int] | None:
    """blkio.throttle.io_service_bytes_recursive (version 1), lines `8:0 Read 1`: bytes read and written.

    None where no device is named: a kernel from 6.10 on counts those of a disk only once some group has a
    limit for it, so that this may be nothing used, or nothing counted.
    """
    total, devices = {"Read": 0, "Write": 0}, set()
    for line in text.splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == "Total":
            number(words[1])
            continue
        if len(words) != 3:
            raise ValueError(f"a line `device operation bytes` is expected, not {line[:40]!r}")
        _device(words[0], line)
        devices.add(words[0])
        if words[1] in total:
            total[words[1]] += number(words[2])
    return (total["Read"], total["Write"]) if devices else None


def _device(word: str, line: str) -> None:
    if not re.fullmatch(r"[0-9]+:[0-9]+", word):
        raise ValueError(f"a line is expected to begin with a device, not {line[:40]!r}")


def processes(text: str) -> int:
    """cgroup.procs: how many processes."""
    return sum(1 for line in text.splitlines() if number(line) >= 0)


def own_paths(text: str) -> dict[str, str]:
    """/proc/PID/cgroup, lines `4:cpu,cpuacct:/path`: the path by controller; for version 2 by no name."""
    found = {}
    for line in text.splitlines():
        parts = line.split(":", 2)
        if len(parts) != 3 or not parts[2].startswith("/"):
            raise ValueError(f"a line `number:controllers:/path` is expected, not {line[:40]!r}")
        for name in parts[1].removeprefix("name=").split(","):
            found[name] = parts[2]
    return found
