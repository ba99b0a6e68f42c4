"""What happened to accounts, as auth-service tells admins."""

from typing import Annotated

import msgspec

from lucid.contracts.types import Moment, PageLimit, UserId

EventId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{24}$", description="Id of an event.")]


class AuditQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which events: all, or those that concern one user; the newest, or those before another."""

    user: UserId | None = None
    before: EventId | None = None
    limit: PageLimit = 20


class AuditEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to an account."""

    id: EventId
    at: Moment
    event: str
    outcome: str
    """`done` or `refused`."""
    user: str | None
    """Whose account; None where nobody knows."""
    by: str | None
    """Who did it; None for somebody not logged in."""
    client: str
    details: dict[str, str]


class AuditPage(msgspec.Struct, frozen=True, kw_only=True):
    """Events, the newest first."""

    events: tuple[AuditEvent, ...]
