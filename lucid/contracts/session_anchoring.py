"""session-anchoring: takes signed statements about sessions, hands them to the chain, reads them back."""

from typing import Annotated, Literal

import msgspec

from lucid.contracts.types import Count, EnvelopeText, Hash, SessionId, SessionPath
from lucid.kit.errors import Code
from lucid.kit.routes import Nothing, Route

SERVICE = "session-anchoring"


class Submit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A signed registration, interim anchor, manifest, access record, hold, erasure or violation."""

    envelope: EnvelopeText


class Anchor(msgspec.Struct, frozen=True, kw_only=True):
    """Where an anchor stands. `final`: in a final block, read back, never to change."""

    entry: Hash
    """Leaf hash: the anchor's name everywhere."""
    kind: Literal["registration", "anchor", "manifest", "access", "hold", "erasure", "violation"]
    session: SessionId | None
    state: Literal["pending", "final", "refused"]
    envelope: str
    index: int | None = None
    height: int | None = None
    reason: str | None = None


class AnchorPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names an anchor by its leaf hash."""

    entry: Hash


class Anchors(msgspec.Struct, frozen=True):
    """A session's anchors and manifest in the order they came; the registrations of their signers first."""

    anchors: tuple[Anchor, ...]


class LifeQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happened to a session's recording, newest first; `before` is the `next` of the page before."""

    session: SessionId
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20
    before: Count | None = None


class Life(msgspec.Struct, frozen=True):
    """A page of access records, holds, erasures and violations."""

    entries: tuple[Anchor, ...]
    next: int | None


SUBMIT = Route(
    SERVICE, "POST", "/anchors", Nothing, Submit, Anchor,
    "Hand over an anchor; answered once it is stored durably", status=202, idempotent=True,
    errors=(Code.FORMAT, Code.CONFLICT, Code.PERMISSION),
)  # fmt: skip
STATUS = Route(
    SERVICE, "GET", "/anchors/{entry}", AnchorPath, Nothing, Anchor, "Where an anchor stands",
    errors=(Code.NOT_FOUND,),
)  # fmt: skip
OF_SESSION = Route(
    SERVICE, "GET", "/sessions/{session}/anchors", SessionPath, Nothing, Anchors,
    "All anchors of a session with the registrations of their signers",
)  # fmt: skip
LIFE = Route(
    SERVICE, "GET", "/sessions/{session}/life", LifeQuery, Nothing, Life,
    "Who was given a session's recording, when it was held and when erased, and what broke its policy",
)  # fmt: skip

ROUTES = (SUBMIT, STATUS, OF_SESSION, LIFE)
