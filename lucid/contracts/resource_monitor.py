"""resource-monitor: what the RDP sessions of a host use, and what the host has left."""

import msgspec

from lucid.contracts.xrdp import SlotPath
from lucid.kit.errors import Code
from lucid.kit.routes import Nothing, Route

SERVICE = "resource-monitor"
CALLERS = ("rdp-manager", "session-controller")


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """A host. Shares are of the last interval, None while there is none; bytes since the host started."""

    measured_ms: int
    interval_seconds: float | None
    cores: int
    cpu_share: float | None
    """Of all cores: 1.0 is all of them busy."""
    memory_total_bytes: int
    memory_available_bytes: int
    load_1: float
    load_5: float
    load_15: float
    disk_total_bytes: int
    """Of the file system that spools are on."""
    disk_free_bytes: int
    received_bytes: int
    """By all interfaces but the loopback."""
    sent_bytes: int
    sessions: int


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """What one session uses, and may use. None: the host does not count it, or sets no limit."""

    port: int
    measured_ms: int
    since_ms: int
    """When it was first seen."""
    cpu_seconds: float | None
    cpu_cores: float | None
    """Over the last interval: 1.0 is one core."""
    cpu_limit_cores: float | None
    throttled_seconds: float | None
    """Time for which it wanted to run and was kept from it by its limit."""
    memory_bytes: int | None
    """Without the file cache that can be dropped at once."""
    memory_peak_bytes: int | None
    """With all file cache, as the kernel keeps it."""
    memory_limit_bytes: int | None
    oom_kills: int | None
    read_bytes: int | None
    """From disks. Version 1 of control groups counts of bytes written those that the session waited for
    (fsync, direct), and from Linux 6.10 on nothing of a disk for which no group has a limit."""
    written_bytes: int | None
    processes: int
    tasks: int | None
    """Processes and their threads, which `task_limit` is about."""
    task_limit: int | None
    connections: int | None
    received_bytes: int | None
    """From its clients, since it was first seen; the kernel's own count of each connection."""
    sent_bytes: int | None
    """To its clients, as far as they acknowledged it."""


class Sessions(msgspec.Struct, frozen=True, kw_only=True):
    """All sessions of a host, by port."""

    measured_ms: int
    sessions: tuple[Session, ...]


HOST = Route(
    SERVICE, "GET", "/host", Nothing, Nothing, Host, "What the host has, and has left",
    callers=CALLERS, quiet=True,
)  # fmt: skip
SESSIONS = Route(
    SERVICE, "GET", "/sessions", Nothing, Nothing, Sessions, "What each RDP session of the host uses",
    callers=CALLERS, quiet=True,
)  # fmt: skip
SESSION = Route(
    SERVICE, "GET", "/sessions/{port}", SlotPath, Nothing, Session, "What one RDP session uses",
    errors=(Code.NOT_FOUND,), callers=CALLERS, quiet=True,
)  # fmt: skip

ROUTES = (HOST, SESSIONS, SESSION)
