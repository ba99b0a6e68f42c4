"""What the spool writes down about a chunk, and about how far it has come."""

import hashlib
from collections.abc import Iterable
from typing import Annotated

import msgspec

NONCE_SIZE = 32

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
Sha256Hex = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the recorder claims of one chunk, fixed before anybody else sees the chunk.

    ``seq`` counts the session's chunks, ``index`` those of the track; both from 0. Times are wall-clock
    milliseconds since 1970. ``raw_commitment`` is SHA-256(``raw_nonce`` bytes || chunk), in hex; without
    the nonce nobody can tell from it what the chunk may hold, so the nonce stays private with the chunk.
    """

    session: Name
    track: Name
    index: Count
    seq: Count
    start_ms: Count
    end_ms: Count
    plain_size: Count
    raw_nonce: Sha256Hex
    raw_commitment: Sha256Hex

    def __repr__(self) -> str:
        return f"Claim(session={self.session!r}, track={self.track!r}, index={self.index}, seq={self.seq})"

    def encode(self) -> bytes:
        """Canonical JSON (RFC 8785): of ASCII strings and integers, sorted keys are all it asks for."""
        return msgspec.json.encode(self, order="sorted")


class Progress(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What outlives the chunks: the next numbers to give, and where each track's newest chunk ends."""

    next_seq: Count = 0
    next_index: dict[Name, Count] = {}
    last_ends_ms: dict[Name, Count] = {}
    last_end_ms: Count = 0
    """Of the only track, as it was written before there were others; never written."""

    def end_of(self, track: str) -> int:
        """Where the track's newest chunk ends; 0 before its first."""
        before = self.last_end_ms if track in self.next_index else 0
        return self.last_ends_ms.get(track, before)

    def after(self, claims: Iterable[Claim], next_seq: int = 0) -> "Progress":
        """This with more chunks counted in, and ``next_seq`` no lower than the one given."""
        next_index = dict(self.next_index)
        last_ends_ms = {track: self.end_of(track) for track in next_index}
        next_seq = max(self.next_seq, next_seq)
        for claim in claims:
            next_seq = max(next_seq, claim.seq + 1)
            next_index[claim.track] = max(next_index.get(claim.track, 0), claim.index + 1)
            last_ends_ms[claim.track] = max(last_ends_ms.get(claim.track, 0), claim.end_ms)
        return Progress(next_seq=next_seq, next_index=next_index, last_ends_ms=last_ends_ms)


def commitment(nonce: bytes, parts: Iterable[bytes]) -> str:
    """SHA-256(nonce || chunk) in hex."""
    digest = hashlib.sha256(nonce)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
