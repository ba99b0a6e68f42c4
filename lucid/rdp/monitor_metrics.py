"""The resource monitor's metrics; the names are part of its interface.

They are made when they are asked for, from the last measurement: a session that has ended is not among them.
"""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from lucid.contracts.resource_monitor import Host, Session
from lucid.kit.errors import Unavailable
from lucid.rdp.measuring import Measured

Family = type[CounterMetricFamily] | type[GaugeMetricFamily]

OF_SESSIONS: dict[str, tuple[Family, str, Callable[[Session], float | None]]] = {
    "cpu_seconds": (CounterMetricFamily, "Processor time used.", lambda s: s.cpu_seconds),
    "cpu_limit_cores": (GaugeMetricFamily, "Cores that may be used.", lambda s: s.cpu_limit_cores),
    "throttled_seconds": (
        CounterMetricFamily, "Time it was kept from running by its limit.", lambda s: s.throttled_seconds,
    ),
    "memory_bytes": (
        GaugeMetricFamily, "Memory, without file cache that can be dropped.", lambda s: s.memory_bytes,
    ),
    "memory_peak_bytes": (
        GaugeMetricFamily, "Most memory so far, with file cache.", lambda s: s.memory_peak_bytes,
    ),
    "memory_limit_bytes": (GaugeMetricFamily, "Memory that may be used.", lambda s: s.memory_limit_bytes),
    "oom_kills": (CounterMetricFamily, "Processes killed for want of memory.", lambda s: s.oom_kills),
    "read_bytes": (CounterMetricFamily, "Bytes read from disks.", lambda s: s.read_bytes),
    "written_bytes": (CounterMetricFamily, "Bytes written to disks.", lambda s: s.written_bytes),
    "processes": (GaugeMetricFamily, "Processes.", lambda s: s.processes),
    "tasks": (GaugeMetricFamily, "Processes and threads.", lambda s: s.tasks),
    "task_limit": (GaugeMetricFamily, "Processes and threads there may be.", lambda s: s.task_limit),
    "connections": (GaugeMetricFamily, "TCP connections at its port.", lambda s: s.connections),
    "received_bytes": (CounterMetricFamily, "Bytes from its clients.", lambda s: s.received_bytes),
    "sent_bytes": (CounterMetricFamily, "Bytes to its clients.", lambda s: s.sent_bytes),
}  # fmt: skip
"""Each `lucid_rdp_session_<name>`, labelled with the session's port."""

OF_HOST: dict[str, tuple[Family, str, Callable[[Host], float | None]]] = {
    "host_sessions": (GaugeMetricFamily, "RDP sessions that there are.", lambda h: h.sessions),
    "host_cores": (GaugeMetricFamily, "Cores of the host.", lambda h: h.cores),
    "host_cpu_ratio": (GaugeMetricFamily, "Share of its cores that is busy.", lambda h: h.cpu_share),
    "host_memory_bytes": (GaugeMetricFamily, "Memory of the host.", lambda h: h.memory_total_bytes),
    "host_memory_available_bytes": (
        GaugeMetricFamily, "Memory that programs could have.", lambda h: h.memory_available_bytes,
    ),
    "host_load1": (GaugeMetricFamily, "Load over a minute.", lambda h: h.load_1),
    "host_disk_bytes": (GaugeMetricFamily, "Size of the spools' disk.", lambda h: h.disk_total_bytes),
    "host_disk_free_bytes": (GaugeMetricFamily, "Free on the spools' disk.", lambda h: h.disk_free_bytes),
    "host_received_bytes": (CounterMetricFamily, "Bytes received.", lambda h: h.received_bytes),
    "host_sent_bytes": (CounterMetricFamily, "Bytes sent.", lambda h: h.sent_bytes),
}  # fmt: skip
"""Each `lucid_rdp_<name>`."""


class Figures(Collector):
    """What was measured last. Nothing, rather than old figures, where that is too long ago."""

    def __init__(self, last: Callable[[], Measured]) -> None:
        self._last = last

    def collect(self) -> Iterator[Metric]:
        """The metrics, for one scrape."""
        try:
            measured = self._last()
        except Unavailable:
            return
        for name, (kind, help_text, value) in OF_HOST.items():
            family = kind(f"lucid_rdp_{name}", help_text)
            _add(family, [], value(measured.host))
            yield family
        yield from _of_sessions(measured.sessions.sessions)


def _of_sessions(sessions: Iterable[Session]) -> Iterator[Metric]:
    for name, (kind, help_text, value) in OF_SESSIONS.items():
        family = kind(f"lucid_rdp_session_{name}", help_text, labels=["port"])
        for session in sessions:
            _add(family, [str(session.port)], value(session))
        yield family


def _add(family: CounterMetricFamily | GaugeMetricFamily, labels: list[str], value: float | None) -> None:
    if value is not None:
        family.add_metric(labels, value)
