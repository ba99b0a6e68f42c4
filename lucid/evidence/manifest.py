"""What a recorder signs about a session: interim anchors while it runs, the manifest when it has ended.

A session's leaves form one sequence, in the order in which its recorder fixed the chunks; tracks may be
interleaved. `count` and `root` always speak of the first `count` leaves of that sequence.
"""

from typing import Annotated, ClassVar, Literal

import msgspec

from lucid.evidence.fields import Count, Digest, Millis, Record, SessionId, Text, Track
from lucid.evidence.statements import Statement

MAX_GAPS = 1024
MAX_TRACKS = 64

EndReason = Literal[
    "stopped", "violation", "command_ended", "display_lost", "quota", "failed", "recorder_lost"
]
"""Why a recording ended: asked to, asked to because the session's policy was not kept, the recorded command
ended, the display went away, the session's quota was used up, the recorder failed and said so, or it vanished
and the closing key signed instead."""

GapCause = Literal[
    "paused", "display_lost", "capture_restarted", "recorder_restarted", "quota", "unexplained"
]
"""Why nothing was captured for a while. `unexplained`: found by the closing key, which did not see why."""


class InterimAnchor(Statement, frozen=True, kw_only=True):
    """The recorder's word, while the session runs, on what it has recorded so far.

    The first anchor of a session has count 0 and the empty root: it opens the session on the log.
    """

    PAYLOAD_TYPE: ClassVar[str] = "application/vnd.lucid.anchor+json"

    v: Literal[1] = 1
    session: SessionId
    recorder: Digest
    """Key id of the recorder, which signs."""
    count: Count
    """Leaves so far."""
    root: Digest
    """Root of their hash tree."""
    time_ms: Millis
    """When the recorder signed."""


class RecordedTrack(Record, frozen=True, kw_only=True):
    """One track of the recording."""

    track: Track
    codec: Text
    """What is in it, as an RFC 6381 media type, for example `video/mp4; codecs="avc1.640028"`."""
    count: Count
    """Its chunks; their indices are 0 to count - 1."""


class Gap(Record, frozen=True, kw_only=True):
    """A time in which a track was not captured, and why."""

    track: Track
    start_ms: Millis
    end_ms: Millis
    cause: GapCause

    def __post_init__(self) -> None:
        if self.end_ms < self.start_ms:
            raise ValueError("end_ms is before start_ms")


class Manifest(Statement, frozen=True, kw_only=True):
    """The last word on a session. `count` and `root` mark its end: no leaf follows."""

    PAYLOAD_TYPE: ClassVar[str] = "application/vnd.lucid.manifest+json"

    v: Literal[1] = 1
    session: SessionId
    owner: Text
    """Whose desktop it was."""
    host: Text
    """The host it ran on; the same as in the recorder's registration."""
    policy_sha256: Digest
    """SHA-256 of the session policy that was in force, as it was stored."""
    tracks: Annotated[tuple[RecordedTrack, ...], msgspec.Meta(max_length=MAX_TRACKS)]
    """In ascending order of `track`."""
    start_ms: Millis
    end_ms: Millis
    count: Count
    """Leaves in all; the sum of the tracks' counts."""
    root: Digest
    """Root of their hash tree."""
    end_reason: EndReason
    gaps: Annotated[tuple[Gap, ...], msgspec.Meta(max_length=MAX_GAPS)]
    """Every gap in the recording, in the order of their beginning."""
    attested_count: Count
    """How many leaves the recorder itself vouches for: all, or, if it was lost, those of its last anchor."""
    recorder: Digest
    """Key id of the recorder. It signs, unless it was lost: then a registered closing key does."""

    def __post_init__(self) -> None:
        numbers = [track.track for track in self.tracks]
        if numbers != sorted(set(numbers)):
            raise ValueError("tracks are not in ascending order")
        if sum(track.count for track in self.tracks) != self.count:
            raise ValueError("count is not the sum of the tracks' counts")
        if not {gap.track for gap in self.gaps} <= set(numbers):
            raise ValueError("gaps name a track that tracks do not")
        if list(self.gaps) != sorted(self.gaps, key=lambda gap: gap.start_ms):
            raise ValueError("gaps are not in the order of start_ms")
        if self.end_ms < self.start_ms:
            raise ValueError("end_ms is before start_ms")
        if self.attested_count > self.count:
            raise ValueError("attested_count is larger than count")
        if self.end_reason != "recorder_lost" and self.attested_count != self.count:
            raise ValueError("attested_count must equal count unless end_reason is recorder_lost")
