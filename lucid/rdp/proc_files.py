"""What the files below /proc say of a host. Pure parsing: text in, numbers out.

Each function raises ValueError for text that is not what the kernel writes, rather than to guess.
"""

from dataclasses import dataclass

from lucid.rdp.cgroup_files import number

LOOPBACK = "lo"


@dataclass(frozen=True)
class Processors:
    """Time of all processors together since the host started, in ticks."""

    cores: int
    busy: int
    total: int


@dataclass(frozen=True)
class Memory:
    """A host's memory, in bytes."""

    total: int
    available: int
    """What programs could have without swapping: free, or a cache that can be dropped."""


def processors(text: str) -> Processors:
    """/proc/stat. Waiting for a disk is idle time, and time stolen by a hypervisor is busy: nobody has it."""
    lines = [line.split() for line in text.splitlines() if line.startswith("cpu")]
    if not lines or lines[0][0] != "cpu" or len(lines[0]) < 9:
        raise ValueError("the first line of /proc/stat is expected to be that of all processors")
    # user nice system idle iowait irq softirq steal; guests' time, behind those, is in user and nice already.
    ticks = [number(word) for word in lines[0][1:9]]
    idle = ticks[3] + ticks[4]
    return Processors(len(lines) - 1, sum(ticks) - idle, sum(ticks))


def memory(text: str) -> Memory:
    """/proc/meminfo."""
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name in {"MemTotal", "MemAvailable"}:
            words = value.split()
            if len(words) != 2 or words[1] != "kB":
                raise ValueError(f"kilobytes are expected, not {line[:40]!r}")
            found[name] = number(words[0]) * 1024
    if len(found) != 2:
        raise ValueError("/proc/meminfo has no MemTotal or no MemAvailable")
    return Memory(found["MemTotal"], found["MemAvailable"])


def load(text: str) -> tuple[float, float, float]:
    """/proc/loadavg: over one, five and fifteen minutes."""
    words = text.split()
    if len(words) != 5:
        raise ValueError(f"five words are expected in /proc/loadavg, not {text[:40]!r}")
    return _hundredths(words[0]), _hundredths(words[1]), _hundredths(words[2])


def _hundredths(word: str) -> float:
    whole, _, part = word.partition(".")
    return number(whole) + number(part) / 100


def network(text: str) -> tuple[int, int]:
    """/proc/net/dev: bytes received and sent by all interfaces but the loopback."""
    received = sent = 0
    for line in text.splitlines()[2:]:
        name, colon, counts = line.partition(":")
        words = counts.split()
        if not colon or len(words) < 16:
            raise ValueError(f"an interface with its counters is expected, not {line[:40]!r}")
        if name.strip() != LOOPBACK:
            received += number(words[0])
            sent += number(words[8])
    return received, sent
