"""session-controller's metrics; the names are part of its interface."""

from prometheus_client import Counter, Gauge, Histogram

sessions = Gauge(
    "lucid_rdp_sessions", "RDP sessions of this host, by state.", ["state"], multiprocess_mode="livemax"
)
sessions_ended_total = Counter(
    "lucid_rdp_sessions_ended_total", "RDP sessions that have ended, by how.", ["ending"]
)
session_seconds = Histogram(
    "lucid_rdp_session_seconds",
    "Length of ended RDP sessions, seconds.",
    buckets=(10, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600, 7 * 24 * 3600),
)
begin_seconds = Histogram(
    "lucid_rdp_begin_seconds",
    "Time from being asked for a desktop until it is recorded, seconds.",
    buckets=(0.5, 1, 2, 3, 4, 6, 10, 20, 40),
)
violations_total = Counter("lucid_rdp_violations_total", "Violations of trust policies, by kind.", ["kind"])
orphans_total = Counter("lucid_rdp_orphans_total", "Desktops ended because they belonged to no session.")
