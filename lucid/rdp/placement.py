"""Which host gets the next desktop. Pure: what is known of the hosts comes in, a name or the reasons go out.

Of the hosts that have room, those whose processors are not busy come first, then the one with the fewest
desktops for each core, then the one with the most idle processors.
"""

from collections.abc import Iterable

import msgspec

MIB = 1024**2
BUSY = 0.9
"""From this share of its processors on, a host gets a desktop only if all are that busy."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What a host said that it has left."""

    cores: int
    cpu_busy: float
    """Share of all its cores, 0 to 1."""
    memory_free_bytes: int
    disk_free_bytes: int


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A host as it was a moment ago."""

    name: str
    answers: bool
    draining: bool
    figures: Figures | None
    """None while its resource-monitor does not answer."""
    sessions: int
    starting: int
    """Those of its sessions whose desktops do not use all their memory yet."""


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """What a host must have left for another desktop."""

    memory_bytes: int
    disk_bytes: int


class NoRoomError(Exception):
    """No host can take another desktop; the text says of each why."""


def choose(candidates: Iterable[Candidate], need: Need) -> str:
    """The name of the host for one more desktop. Raises NoRoomError."""
    reasons, fit = [], []
    for candidate in candidates:
        if reason := obstacle(candidate, need):
            reasons.append(f"{candidate.name} {reason}")
        else:
            fit.append(candidate)
    if not fit:
        raise NoRoomError("; ".join(sorted(reasons)) or "there are no hosts of desktops")
    return min(fit, key=_order).name


def obstacle(candidate: Candidate, need: Need) -> str | None:
    """Why the host cannot take another desktop; None if it can."""
    if not candidate.answers:
        return "does not answer"
    if candidate.draining:
        return "is draining"
    if candidate.figures is None:
        return "does not say how busy it is"
    # A desktop that is being started has not taken its memory yet.
    memory = candidate.figures.memory_free_bytes - candidate.starting * need.memory_bytes
    if memory < need.memory_bytes:
        return f"has {max(0, memory) // MIB} MiB of memory to spare, less than {need.memory_bytes // MIB}"
    if candidate.figures.disk_free_bytes < need.disk_bytes:
        free = candidate.figures.disk_free_bytes // MIB
        return f"has {free} MiB of disk to spare, less than {need.disk_bytes // MIB}"
    return None


def _order(candidate: Candidate) -> tuple[bool, float, float, str]:
    figures = candidate.figures
    assert figures is not None  # noqa: S101 - `obstacle` has sorted these out
    per_core = candidate.sessions / max(1, figures.cores)
    return (figures.cpu_busy >= BUSY, per_core, figures.cpu_busy, candidate.name)
