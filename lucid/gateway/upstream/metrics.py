"""What is measured of each service behind the gateway."""

from prometheus_client import Counter

from lucid.kit.metrics import call_seconds

retries_total = Counter("lucid_upstream_retries_total", "Requests to a service sent again.", ["callee"])
ejections_total = Counter("lucid_upstream_ejections_total", "Replicas put out for a while.", ["callee"])
opened_total = Counter("lucid_upstream_breaker_opened_total", "Times a service's breaker opened.", ["callee"])
refused_total = Counter(
    "lucid_upstream_breaker_refused_total", "Requests refused while a breaker was open.", ["callee"]
)


class Measures:
    """The metrics of one service, looked up once."""

    def __init__(self, service: str) -> None:
        self.retries = retries_total.labels(service)
        self.ejections = ejections_total.labels(service)
        self.opened = opened_total.labels(service)
        self.refused = refused_total.labels(service)
        self._seconds = {
            outcome: call_seconds.labels(service, outcome) for outcome in ("ok", "failed", "undecided")
        }

    def asked(self, outcome: str, seconds: float) -> None:
        """An exchange got as far as its head, or failed."""
        self._seconds[outcome].observe(seconds)
