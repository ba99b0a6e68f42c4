"""Metrics of rdp-manager; the names are part of its interface."""

from prometheus_client import Counter, Gauge, Histogram

sessions = Gauge(
    "lucid_rdp_desktops",
    "Desktops of the deployment that have not ended; every rdp-manager tells of all.",
    ["state"],
    multiprocess_mode="livemax",
)
created_total = Counter("lucid_rdp_sessions_created_total", "Desktops asked for.", ["outcome"])
ended_total = Counter("lucid_rdp_desktops_ended_total", "Desktops that ended, as seen here.", ["ending"])
open_seconds = Histogram(
    "lucid_rdp_open_seconds",
    "Time from the request for a desktop until its client may log in, seconds.",
    buckets=(0.25, 0.5, 1, 1.5, 2, 3, 4, 6, 10, 20, 40),
)
hosts_answering = Gauge(
    "lucid_rdp_hosts_answering", "Hosts of desktops that answer.", multiprocess_mode="livemin"
)
