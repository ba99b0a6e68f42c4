"""What the rdp cluster tells session-api of the sessions that it keeps for people: recorded desktops."""

import msgspec

from lucid.contracts.session_recorder import Cookie, Display
from lucid.contracts.types import (
    EnvelopeText,
    FrameRate,
    RetentionDays,
    SessionBytes,
    SessionId,
    Text,
    UserId,
)
from lucid.evidence.policy import Quality
from lucid.kit.hosts import HostName


class CreateManaged(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How to record whose desktop, and where. Nothing is left to a default: a policy says all of it."""

    session: SessionId
    """Chosen by the caller, who may say the same again."""
    owner: UserId
    name: Text
    frame_rate: FrameRate
    quality: Quality
    max_bytes: SessionBytes
    retention_days: RetentionDays
    trust: EnvelopeText
    """The trust policy that its owner has signed."""
    host: HostName
    """Where the desktop is to be."""


class StartManaged(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The desktop to record: its host, its display there, and the display's cookie."""

    display: Display
    cookie: Cookie
    host: HostName

    def __repr__(self) -> str:
        return f"StartManaged(display={self.display!r}, host={self.host!r}, cookie=***)"
