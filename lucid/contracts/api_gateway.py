"""api-gateway: what it answers itself; all else it takes from the services behind it."""

from typing import Literal

import msgspec

from lucid.kit.health import Check
from lucid.kit.routes import Access, Nothing, Route

SERVICE = "api-gateway"
PREFIX = "/api/v1"
"""In front of every path that the gateway serves."""
Breaker = Literal["closed", "open", "half-open"]


class Info(msgspec.Struct, frozen=True):
    """What this is."""

    name: str
    version: str
    api: str


class MetaHealth(msgspec.Struct, frozen=True):
    """Whether the gateway and what stands behind it are up."""

    status: Literal["healthy", "degraded", "unhealthy"]
    services: dict[str, Literal["up", "down"]]
    breakers: dict[str, Breaker]
    """Whether each service is asked, given a rest after too many failures, or being tried again."""


class ReplicaHealth(msgspec.Struct, frozen=True):
    """One address of a service."""

    address: str
    running: int
    """Requests that it has not answered yet."""
    failures: int
    """In a row, since it last answered or was put out."""
    out_seconds: float
    """For how long it gets no requests any more; 0 while it does."""


class UpstreamHealth(msgspec.Struct, frozen=True):
    """A service behind the gateway."""

    breaker: Breaker
    check: Check | None
    """What asking it how it is has brought; null where nobody does."""
    hosts: dict[str, Check]
    """The same of each of its hosts, by name, where it is one that may have several."""
    mean_milliseconds: float
    """How long its answers have taken lately."""
    weight: int
    """For how many a request to it counts in limits: with adaptive ones, more than 1 while it struggles."""
    replicas: tuple[ReplicaHealth, ...]


class DetailedHealth(msgspec.Struct, frozen=True):
    """What the process that was asked knows; each of the gateway's has breakers and figures of its own."""

    status: Literal["healthy", "degraded", "unhealthy"]
    version: str
    process: int
    uptime_seconds: float
    draining: bool
    dependencies: dict[str, Check]
    """What the gateway itself stands on."""
    upstreams: dict[str, UpstreamHealth]


INFO = Route(SERVICE, "GET", "/meta/info", Nothing, Nothing, Info, "What this is", access=Access.PUBLIC)
HEALTH = Route(
    SERVICE, "GET", "/meta/health", Nothing, Nothing, MetaHealth, "Whether it is up", access=Access.PUBLIC
)
DETAILED_HEALTH = Route(
    SERVICE,
    "GET",
    "/meta/health/detailed",
    Nothing,
    Nothing,
    DetailedHealth,
    "How it is and what stands behind it, in detail",
    access=Access.ADMIN,
)

ROUTES = (INFO, HEALTH, DETAILED_HEALTH)
