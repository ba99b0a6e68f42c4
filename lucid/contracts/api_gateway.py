"""api-gateway: what it answers itself; all else it takes from the services behind it."""

from typing import Literal

import msgspec

from lucid.kit.routes import Access, Nothing, Route

SERVICE = "api-gateway"
PREFIX = "/api/v1"
"""In front of every path that the gateway serves."""


class Info(msgspec.Struct, frozen=True):
    """What this is."""

    name: str
    version: str
    api: str


class MetaHealth(msgspec.Struct, frozen=True):
    """Whether the gateway and what stands behind it are up."""

    status: Literal["healthy", "degraded", "unhealthy"]
    services: dict[str, Literal["up", "down"]]
    breakers: dict[str, Literal["closed", "open", "half-open"]]
    """Whether each service is asked, given a rest after too many failures, or being tried again."""


INFO = Route(SERVICE, "GET", "/meta/info", Nothing, Nothing, Info, "What this is", access=Access.PUBLIC)
HEALTH = Route(
    SERVICE, "GET", "/meta/health", Nothing, Nothing, MetaHealth, "Whether it is up", access=Access.PUBLIC
)

ROUTES = (INFO, HEALTH)
