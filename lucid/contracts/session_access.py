"""What session-api hands out of a recording, and the log of who was given what, and of what befell it."""

from typing import Annotated, Literal

import msgspec

from lucid.contracts.types import Count, Hash, Milliseconds, PageLimit, SessionId
from lucid.evidence.life import Detail, ViolationKind

HoldReason = Annotated[
    str, msgspec.Meta(pattern=r"^[^\x00-\x1f\x7f]+\Z", max_length=200, description="One line that says why.")
]


class BundleQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which session, and whether the sealed chunks come along."""

    session: SessionId
    chunks: bool = True


class DisclosureQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stretch of the recording, from `start_ms` to before `end_ms`, rounded out to whole chunks."""

    session: SessionId
    start_ms: Milliseconds
    end_ms: Milliseconds


class WatchQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Chunks of the picture: at most `limit`, from the one with index `first` on."""

    session: SessionId
    first: Count = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=20)] = 1


class SetHold(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A legal hold: begin or end it, and why."""

    held: bool
    reason: HoldReason


class ReportViolation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What broke the policy of a session, and when it was noticed. The same again is the same violation."""

    kind: ViolationKind
    detail: Detail
    time_ms: Milliseconds


class AccessQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Newest first; `before` is the `next` of the page before."""

    session: SessionId
    limit: PageLimit = 20
    before: Count | None = None


class AccessRow(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the log on what was done with a recording, or to its policy, and where the entry stands."""

    entry: Hash
    what: Literal["replay", "export", "disclosure", "hold", "release", "erasure", "violation"]
    time_ms: int
    state: Literal["pending", "final", "refused"]
    who: str | None = None
    """The user's id; None for an erasure or a violation."""
    start_ms: int | None = None
    end_ms: int | None = None
    """The stretch that was handed out."""
    reason: str | None = None
    """Of a hold, its release or an erasure; of a violation, its kind."""
    detail: str | None = None
    """What was seen of a violation."""
    index: int | None = None
    height: int | None = None


class Accesses(msgspec.Struct, frozen=True):
    """A page of what was done with a recording."""

    accesses: tuple[AccessRow, ...]
    next: int | None
