"""Prometheus metrics in multiprocess mode: each worker writes its own file, /metrics adds them up.

Every gauge names how values of several processes combine; what a worker had set that died must not outlive
it, hence the live modes. `set_function` does not work across processes and is not used. `lucid.kit.launch`
sets PROMETHEUS_MULTIPROC_DIR before this module is imported.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)
from prometheus_client.registry import Collector

requests_total = Counter("lucid_api_requests_total", "Requests answered.", ["method", "endpoint", "status"])
request_seconds = Histogram(
    "lucid_api_request_duration_seconds",
    "Time to answer a request, seconds.",
    ["method", "endpoint"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10),
)
connections_active = Gauge(
    "lucid_api_active_connections", "Requests being answered now.", multiprocess_mode="livesum"
)
task_failures_total = Counter(
    "lucid_background_failures_total", "Background tasks that ended with an error.", ["task"]
)
call_seconds = Histogram(
    "lucid_call_duration_seconds", "Time of a call to another service, seconds.", ["callee", "outcome"]
)

unanchored_seconds = Gauge(
    "lucid_unanchored_seconds",
    "Age of the oldest evidence here that is not known to be in a final block, seconds.",
    multiprocess_mode="livemax",
)


_PASSING = CollectorRegistry(auto_describe=False)


@contextmanager
def passing(collector: Collector) -> Iterator[None]:
    """Has /metrics ask `collector` each time, for as long as the context lasts.

    For values that end with what they are about: those in files stay until the service ends. Whichever worker
    is asked answers with its own, so this is for services that have one.
    """
    _PASSING.register(collector)
    try:
        yield
    finally:
        _PASSING.unregister(collector)


def render() -> bytes:
    """All metrics of this service's processes, in Prometheus' text format."""
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # as shipped
    return generate_latest(registry) + generate_latest(_PASSING)
