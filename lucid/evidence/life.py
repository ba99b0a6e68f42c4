"""What happens to a session beside its recording: violations, access, legal hold, erasure.

Each is an entry of the log.

A closing key signs them: whoever runs Lucid says openly, and for good, what was done with a recording.
"""

from typing import Annotated, ClassVar, Literal

import msgspec

from lucid.evidence.fields import Millis, SessionId, Text
from lucid.evidence.statements import Statement

MAX_BACKUP_MS = 30 * 24 * 3600 * 1000
"""The longest time, in milliseconds, that a backup may outlive the key that was erased: 30 days."""

ErasureReason = Literal["retention", "request"]
"""Why a recording was erased: its time had come, or somebody entitled to it asked for it."""

AccessKind = Literal["replay", "export", "disclosure"]
"""`replay`: opened and played. `export`: the sealed chunks were handed out, which nobody can open without a
key. `disclosure`: the sealed chunks of a stretch were handed out with their keys."""


ViolationKind = Literal["recorder_ended", "recorder_lost", "agent_lost", "display_lost", "channel"]
"""What broke the session's policy. `recorder_ended`: the recording ended while the session lived.
`recorder_lost`, `agent_lost`, `display_lost`: what records, guards or shows the session was gone. `channel`:
something went through a channel that is off."""

Detail = Annotated[
    str, msgspec.Meta(pattern=r"^[^\x00-\x1f\x7f]{1,200}$(?!\n)", min_length=1, max_length=200)
]
"""1 to 200 characters of one line, without control characters."""


class Violation(Statement, frozen=True, kw_only=True):
    """A session's policy was not kept, and the session was ended for it."""

    PAYLOAD_TYPE: ClassVar[str] = "application/vnd.lucid.violation+json"

    v: Literal[1] = 1
    session: SessionId
    kind: ViolationKind
    detail: Detail
    """What was seen."""
    time_ms: Millis
    """When it was noticed."""


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
