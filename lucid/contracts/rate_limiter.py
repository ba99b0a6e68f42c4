"""rate-limiter: the limits of the gateway for others that ask, and for admins to look into."""

from typing import Annotated, Literal

import msgspec

from lucid.contracts.types import PageLimit
from lucid.kit.errors import Code
from lucid.kit.routes import Access, Nothing, Route

SERVICE = "rate-limiter"

TierName = Literal["public", "authenticated", "admin", "blocks", "upload", "address"]
Key = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9.:_-]{1,128}$",
        description="Whose bucket: an address, an onion circuit, a user or a session, as the tier says. "
        "Of IPv6 addresses the first 64 bits count.",
    ),
]


class Check(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A request that somebody else is about to serve."""

    tier: TierName
    key: Key
    cost: Annotated[
        int, msgspec.Meta(ge=1, le=100_000_000, description="Requests, or bytes in the tier upload.")
    ] = 1


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether it is admitted; if so it has been counted. `limit` 0: nothing is limited."""

    admitted: bool
    limit: int
    """What a full bucket allows at once."""
    remaining: int
    reset: int
    """Seconds until the bucket is full again."""
    retry_after: int
    """Seconds until the same request would be admitted; 0 if it was."""


class BucketsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which buckets: one, by its key, or a page of those behind `after`, in the order of their keys."""

    tier: TierName
    key: Key | None = None
    limit: PageLimit = 20
    after: Key | None = None


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """How one caller stands. What gateways hold in advance, for a second, counts as used."""

    key: str
    available: int
    """Negative: bytes that came too fast, which are waited for."""
    reset: int
    """Seconds until it is full again."""


class Buckets(msgspec.Struct, frozen=True, kw_only=True):
    """The buckets of a tier that are in use; all others are full."""

    tier: TierName
    capacity: int
    per_second: float
    """How fast they refill."""
    buckets: tuple[Bucket, ...]
    next: str | None
    """To be asked for as `after`; None at the end."""


class BucketPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names one bucket."""

    tier: TierName
    key: Key


_CHECKED = (Code.INVALID, Code.MISSING_FIELD, Code.FORMAT, Code.OUT_OF_RANGE)
_ADMINS = (
    Code.AUTHENTICATION_REQUIRED, Code.TOKEN_EXPIRED, Code.TOKEN_INVALID, Code.PERMISSION, Code.LOGIN_ENDED,
    Code.NETWORK, Code.TIMEOUT, Code.UNAVAILABLE,
)  # fmt: skip

CHECK = Route(
    SERVICE, "POST", "/limits/check", Nothing, Check, Verdict, "Count a request, if it is within the limits",
    errors=(*_CHECKED, Code.JSON, Code.TOO_LARGE, Code.PERMISSION),
)  # fmt: skip
BUCKETS = Route(
    SERVICE, "GET", "/limits/buckets", BucketsQuery, Nothing, Buckets, "How callers stand in a tier",
    access=Access.ADMIN, errors=(*_CHECKED, *_ADMINS),
)  # fmt: skip
RESET = Route(
    SERVICE, "DELETE", "/limits/buckets/{tier}/{key}", BucketPath, Nothing, Nothing,
    "Make a caller's bucket full again", access=Access.ADMIN, status=204, errors=(*_CHECKED, *_ADMINS),
)  # fmt: skip

ROUTES = (CHECK, BUCKETS, RESET)
