"""What happens to a recording after its session: access, legal hold, erasure. Each is an entry of the log.

A closing key signs them: whoever runs Lucid says openly, and for good, what was done with a recording.
"""

from typing import ClassVar, Literal

from lucid.evidence.fields import Millis, SessionId, Text
from lucid.evidence.statements import Statement

MAX_BACKUP_MS = 30 * 24 * 3600 * 1000
"""The longest time, in milliseconds, that a backup may outlive the key that was erased: 30 days."""

ErasureReason = Literal["retention", "request"]
"""Why a recording was erased: its time had come, or somebody entitled to it asked for it."""

AccessKind = Literal["replay", "export", "disclosure"]
"""`replay`: opened and played. `export`: the sealed chunks were handed out, which nobody can open without a
key. `disclosure`: the sealed chunks of a stretch were handed out with their keys."""


class Access(Statement, frozen=True, kw_only=True):
    """Somebody was given a recording, or a stretch of it. Logged before the first byte is handed out."""

    PAYLOAD_TYPE: ClassVar[str] = "application/vnd.lucid.access+json"

    v: Literal[1] = 1
    session: SessionId
    who: Text
    """Id of the user to whom it was given."""
    what: AccessKind
    start_ms: Millis
    end_ms: Millis
    """The stretch that was handed out, rounded out to whole chunks."""
    time_ms: Millis
    """When it was asked for."""

    def __post_init__(self) -> None:
        if self.end_ms < self.start_ms:
            raise ValueError("end_ms is before start_ms")


class Hold(Statement, frozen=True, kw_only=True):
    """A legal hold begins or ends. While it lasts, the log takes no erasure of the session."""

    PAYLOAD_TYPE: ClassVar[str] = "application/vnd.lucid.hold+json"

    v: Literal[1] = 1
    session: SessionId
    held: bool
    """Whether the hold begins or ends here."""
    who: Text
    """Id of the user who decided it."""
    reason: Text
    time_ms: Millis


class Erasure(Statement, frozen=True, kw_only=True):
    """The tombstone of a recording: its key and its sealed chunks are destroyed, its leaves are kept."""

    PAYLOAD_TYPE: ClassVar[str] = "application/vnd.lucid.erasure+json"

    v: Literal[1] = 1
    session: SessionId
    reason: ErasureReason
    time_ms: Millis
    """When the key was destroyed."""
    backups_until_ms: Millis
    """From then on no backup holds the key either; at most `MAX_BACKUP_MS` after `time_ms`."""

    def __post_init__(self) -> None:
        if not self.time_ms <= self.backups_until_ms <= self.time_ms + MAX_BACKUP_MS:
            raise ValueError("backups_until_ms is not from time_ms to 30 days after it")
