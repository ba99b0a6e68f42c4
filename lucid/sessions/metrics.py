"""The session cluster's metrics; the names are part of its interface."""

from prometheus_client import Counter, Gauge, Histogram

sessions_created_total = Counter("lucid_sessions_created_total", "Sessions created.", ["status"])
sessions_active = Gauge(
    "lucid_sessions_active", "Sessions that are recorded or paused.", ["state"], multiprocess_mode="livemax"
)
recordings_held = Gauge(
    "lucid_recordings_held", "Recordings that are not yet all anchored.", multiprocess_mode="livemax"
)
recordings_failed = Gauge(
    "lucid_recordings_failed",
    "Recordings that failed and whose chunks are in the spool until their sessions are erased.",
    multiprocess_mode="livemax",
)
session_seconds = Histogram(
    "lucid_session_duration_seconds",
    "Length of ended recordings, seconds.",
    buckets=(10, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600),
)
chunks_processed_total = Counter("lucid_chunks_processed_total", "Chunks sealed or refused.", ["status"])
chunk_seconds = Histogram(
    "lucid_chunk_processing_duration_seconds", "Time from a chunk's arrival to its receipt, seconds."
)
chunk_bytes = Histogram(
    "lucid_chunk_size_bytes",
    "Size of chunks before sealing, bytes.",
    buckets=(64 * 1024, 256 * 1024, 1024**2, 4 * 1024**2, 8 * 1024**2, 16 * 1024**2),
)
storage_used_bytes = Gauge(
    "lucid_storage_used_bytes", "Bytes that are kept.", ["type"], multiprocess_mode="livemax"
)
storage_operations_total = Counter(
    "lucid_storage_operations_total", "Storage operations.", ["operation", "status"]
)
stage_seconds = Histogram(
    "lucid_pipeline_stage_duration_seconds", "Time of a chunk in a stage, seconds.", ["stage"]
)
pipeline_errors_total = Counter(
    "lucid_pipeline_errors_total", "Failures of a stage.", ["stage", "error_type"]
)
session_keys = Gauge(
    "lucid_session_keys",
    "Session keys by the KEK that they are wrapped under: current, previous or unknown.",
    ["kek"],
    multiprocess_mode="mostrecent",
)
keys_rewrapped_total = Counter(
    "lucid_session_keys_rewrapped_total", "Session keys wrapped anew after a change of the password."
)
sessions_erased_total = Counter("lucid_sessions_erased_total", "Recordings erased.", ["reason"])
accesses_total = Counter(
    "lucid_recording_accesses_total", "Recordings, or stretches of them, that were handed out.", ["what"]
)
