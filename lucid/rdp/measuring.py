"""From one look at a host to figures: totals, and shares of the time since the look before. Pure, no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lucid.contracts.resource_monitor import Host, Session, Sessions
from lucid.rdp.cgroups import Slot
from lucid.rdp.connections import Look
from lucid.rdp.proc_files import Memory, Processors
from lucid.rdp.traffic import Traffic


@dataclass(frozen=True, kw_only=True)
class HostReading:
    """A host, as read at one time."""

    processors: Processors
    memory: Memory
    load: tuple[float, float, float]
    disk_total: int
    disk_free: int
    received: int
    sent: int


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One look: `at` on a clock that only goes forward, `ms` on the one that people read."""

    at: float
    ms: int
    host: HostReading
    slots: tuple[Slot, ...]
    connections: Look | None
    """None: this kernel does not tell."""


@dataclass(frozen=True)
class Measured:
    """What callers are told."""

    at: float
    host: Host
    sessions: Sessions

    def session(self, port: int) -> Session | None:
        """The session at a port."""
        return next((each for each in self.sessions.sessions if each.port == port), None)


@dataclass
class _Known:
    """What is kept of a slot from look to look."""

    identity: tuple[int, int]
    since_ms: int
    traffic: Traffic
    cpu: tuple[float, float] | None = None
    """When, and the seconds used until then."""
    kills: dict[str, int] = field(default_factory=dict)
    kills_gone: int = 0


class Measuring:
    """Turns readings into figures, one after the other."""

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}
        self._foreign: dict[int, set[int]] = {}
        self._last: Reading | None = None

    def enter(self, reading: Reading) -> Measured:
        """The figures of this reading, compared with the one before."""
        self._forget(reading)
        sessions = tuple(self._session(slot, reading) for slot in reading.slots)
        host = _host(reading, self._last)
        self._last = reading
        return Measured(reading.at, host, Sessions(measured_ms=reading.ms, sessions=sessions))

    def _forget(self, reading: Reading) -> None:
        """Slots that have ended. What is left of their connections is not the next one's at that port."""
        now = {slot.port: slot.identity for slot in reading.slots}
        for port, known in list(self._known.items()):
            if now.get(port) != known.identity:
                self._foreign[port] = known.traffic.cookies
                del self._known[port]

    def _session(self, slot: Slot, reading: Reading) -> Session:
        known = self._known.get(slot.port)
        if known is None:
            traffic = Traffic(foreign=self._foreign.pop(slot.port, set()))
            known = self._known[slot.port] = _Known(slot.identity, reading.ms, traffic)
        looked, used = reading.connections, slot.usage
        if looked is not None:
            known.traffic.see(
                [each for each in looked.open if each.port == slot.port],
                [each for each in looked.closed if each.port == slot.port],
            )
        counted = None if looked is None else known.traffic
        return Session(
            port=slot.port,
            measured_ms=reading.ms,
            since_ms=known.since_ms,
            cpu_seconds=used.cpu_seconds,
            cpu_cores=_cores(known, used.cpu_seconds, reading.at),
            cpu_limit_cores=used.cpu_limit_cores,
            throttled_seconds=used.throttled_seconds,
            memory_bytes=used.memory_bytes,
            memory_peak_bytes=used.memory_peak_bytes,
            memory_limit_bytes=used.memory_limit_bytes,
            oom_kills=_kills(known, used.oom_kills),
            read_bytes=used.read_bytes,
            written_bytes=used.written_bytes,
            processes=used.processes,
            tasks=used.tasks,
            task_limit=used.task_limit,
            connections=None if counted is None else counted.connections,
            received_bytes=None if counted is None else counted.received,
            sent_bytes=None if counted is None else counted.sent,
        )


def _cores(known: _Known, seconds: float | None, at: float) -> float | None:
    before, known.cpu = known.cpu, None if seconds is None else (at, seconds)
    if before is None or seconds is None or at <= before[0]:
        return None
    return max(0.0, seconds - before[1]) / (at - before[0])


def _kills(known: _Known, counts: Mapping[str, int]) -> int | None:
    """All kills: those of groups that are gone count as they were last seen."""
    known.kills_gone += sum(count for group, count in known.kills.items() if group not in counts)
    seen_before = bool(known.kills or known.kills_gone)
    known.kills = dict(counts)
    return known.kills_gone + sum(counts.values()) if counts or seen_before else None


def _host(reading: Reading, before: Reading | None) -> Host:
    found = reading.host
    return Host(
        measured_ms=reading.ms,
        interval_seconds=None if before is None else reading.at - before.at,
        cores=found.processors.cores,
        cpu_share=None if before is None else _busy(found.processors, before.host.processors),
        memory_total_bytes=found.memory.total,
        memory_available_bytes=found.memory.available,
        load_1=found.load[0],
        load_5=found.load[1],
        load_15=found.load[2],
        disk_total_bytes=found.disk_total,
        disk_free_bytes=found.disk_free,
        received_bytes=found.received,
        sent_bytes=found.sent,
        sessions=len(reading.slots),
    )


def _busy(now: Processors, before: Processors) -> float | None:
    """Iowait may go back by a tick: a share is never less than none, nor more than all."""
    passed = now.total - before.total
    return min(1.0, max(0.0, (now.busy - before.busy) / passed)) if passed > 0 else None
