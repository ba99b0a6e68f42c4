"""The leaf: what a session's hash tree says about one sealed chunk, checkable without any key."""

from dataclasses import dataclass
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from lucid.evidence import canonical, merkle
from lucid.evidence.fields import Count, Digest, Millis, Record, SessionId, Track

MAX_PLAIN_SIZE = 16 * 1024 * 1024
SEAL_OVERHEAD = 32 + 32 + 16
"""Bytes that sealing adds: salt, the recorder's random bytes, GCM tag."""

LEAF_LIMIT = 1024
"""Bytes of a leaf's canonical JSON, at most."""

Codec = Literal["none", "zstd"]


@dataclass(frozen=True, slots=True)
class ChunkId:
    """Which chunk: the session, the track, and the position in the track, counted from 0."""

    session: str
    track: int
    index: int

    def packed(self) -> bytes:
        """28 bytes: the session's UUID, the track as u32 and the index as u64, both big-endian."""
        return UUID(self.session).bytes + self.track.to_bytes(4, "big") + self.index.to_bytes(8, "big")


class Leaf(Record, frozen=True, kw_only=True):
    """One chunk of a session's recording."""

    v: Literal[1] = 1
    """Version of this record."""
    session: SessionId
    """The session that was recorded."""
    track: Track
    """The track that the chunk belongs to."""
    index: Count
    """The chunk's position in its track, from 0 without a hole."""
    start_ms: Millis
    """When the chunk's first frame was captured."""
    end_ms: Millis
    """When its last frame ended; not before `start_ms`."""
    plain_size: Annotated[int, msgspec.Meta(ge=1, le=MAX_PLAIN_SIZE)]
    """Bytes of the recording, before compression."""
    sealed_size: Annotated[int, msgspec.Meta(gt=SEAL_OVERHEAD, le=MAX_PLAIN_SIZE + SEAL_OVERHEAD)]
    """Bytes after compression and encryption, as stored."""
    codec: Codec
    """How the recording was compressed before encryption."""
    sealed_sha256: Digest
    """SHA-256 of the sealed bytes: ties the stored file to this leaf."""
    key_commitment: Digest
    """Second half of the chunk's derived key material: only one key can open this chunk."""
    raw_commitment: Digest
    """The recorder's SHA-256(32 random bytes || recording): what the recorder saw, sealed or not."""

    def __post_init__(self) -> None:
        if self.end_ms < self.start_ms:
            raise ValueError("end_ms is before start_ms")
        if self.codec == "none" and self.sealed_size != self.plain_size + SEAL_OVERHEAD:
            raise ValueError(f"sealed_size of an uncompressed chunk is plain_size + {SEAL_OVERHEAD}")

    @property
    def chunk(self) -> ChunkId:
        """Which chunk this leaf is about."""
        return ChunkId(self.session, self.track, self.index)


def encode(leaf: Leaf) -> bytes:
    """Return the leaf's canonical JSON: the bytes that are hashed, stored and put into bundles."""
    return canonical.encode(leaf)


def decode(data: bytes) -> Leaf:
    """Return the leaf that `data` is the canonical JSON of; raise FormatError otherwise."""
    return canonical.decode(data, Leaf, field="leaf", limit=LEAF_LIMIT)


def leaf_hash(leaf: Leaf) -> bytes:
    """Return the leaf's hash in the session's tree: SHA-256(0x00 || canonical JSON)."""
    return merkle.leaf_hash(encode(leaf))
