"""What the chain's services measure beyond what every service does."""

from prometheus_client import Counter, Gauge

height = Gauge("lucid_chain_height", "Height of the newest final block.", multiprocess_mode="max")
clock_behind_seconds = Gauge(
    "lucid_chain_clock_behind_seconds",
    "How far the host's clock is behind the newest block's time, seconds.",
    multiprocess_mode="livemax",
)
blocks_total = Counter("lucid_chain_blocks_total", "Blocks settled since the start.", ["state"])
