"""session-anchoring: takes signed anchors and manifests, hands them to the chain, reads them back."""

from typing import Literal

import msgspec

from lucid.contracts.types import EnvelopeText, Hash, SessionId, SessionPath
from lucid.kit.errors import Code
from lucid.kit.routes import Nothing, Route

SERVICE = "session-anchoring"


class Submit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A signed interim anchor, manifest or registration."""

    envelope: EnvelopeText


class Anchor(msgspec.Struct, frozen=True, kw_only=True):
    """Where an anchor stands. `final`: in a final block, read back, never to change."""

    entry: Hash
    """Leaf hash: the anchor's name everywhere."""
    kind: Literal["anchor", "manifest", "registration"]
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
    """A session's anchors in the order they came; the registration of their signers first."""

    anchors: tuple[Anchor, ...]


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

ROUTES = (SUBMIT, STATUS, OF_SESSION)
