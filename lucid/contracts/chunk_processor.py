"""chunk-processor: session keys; compresses, encrypts and hashes chunks and hands them to storage."""

import msgspec

from lucid.contracts.types import MAX_CHUNK, ChunkPath, Count, Hash, Milliseconds, SessionPath
from lucid.kit.errors import Code
from lucid.kit.routes import Nothing, Route, Stream

SERVICE = "chunk-processor"
FOR_PEOPLE = ("session-api",)
"""Who may ask for keys and opened chunks: a recorder that was taken over shall not."""
CLAIM_HEADER = "Lucid-Chunk-Claim"
"""Request header of a PUT: the recorder's `Claim` as JSON. A header, because it holds the nonce."""


class Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the recorder says of a chunk. The leaf repeats it, so that its signature covers what it saw."""

    sequence: Count
    """The chunk's place in the session's tree."""
    start_ms: Milliseconds
    end_ms: Milliseconds
    raw_nonce: Hash
    """32 random bytes, hex; sealed with the chunk."""
    raw_commitment: Hash
    """SHA-256(raw_nonce || raw)."""


class SessionKey(msgspec.Struct, frozen=True, kw_only=True):
    """That a session has a key; never the key."""

    session: str
    kek_id: str
    created_ms: int


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The chunk is durable. The leaf is what the recorder signs into its roots."""

    leaf: str
    duplicate: bool
    seal_ms: float
    """Compressing, encrypting and hashing."""
    store_ms: float


class ErasedKey(msgspec.Struct, frozen=True, kw_only=True):
    """That a session's key is destroyed, and since when."""

    session: str
    erased_ms: int


class ChunkKey(msgspec.Struct, frozen=True, kw_only=True):
    """What opens one chunk and nothing else, to be disclosed."""

    key: Hash

    def __repr__(self) -> str:
        return "ChunkKey(***)"


CREATE_KEY = Route(
    SERVICE, "PUT", "/sessions/{session}/key", SessionPath, Nothing, SessionKey,
    "Make the session's key, once; needed before its first chunk", callers=FOR_PEOPLE,
)  # fmt: skip
PROCESS = Route(
    SERVICE, "PUT", "/sessions/{session}/tracks/{track}/chunks/{index}", ChunkPath, Stream, Receipt,
    "Seal a chunk and keep it; the same chunk again gets the same receipt", max_body=MAX_CHUNK,
    errors=(Code.FORMAT, Code.CONFLICT, Code.CHUNK_SIZE, Code.NOT_FOUND, Code.STORAGE_FULL),
)  # fmt: skip
OPEN = Route(
    SERVICE, "GET", "/sessions/{session}/tracks/{track}/chunks/{index}/raw", ChunkPath, Nothing, Stream,
    "A chunk as it was recorded", errors=(Code.NOT_FOUND, Code.EXTERNAL), callers=FOR_PEOPLE,
    media="video/mp4",
)  # fmt: skip
DISCLOSE = Route(
    SERVICE, "GET", "/sessions/{session}/tracks/{track}/chunks/{index}/key", ChunkPath, Nothing, ChunkKey,
    "The key of this chunk alone", errors=(Code.NOT_FOUND, Code.EXTERNAL), callers=FOR_PEOPLE,
)  # fmt: skip
ERASE_KEY = Route(
    SERVICE, "DELETE", "/sessions/{session}/key", SessionPath, Nothing, ErasedKey,
    "Destroy the session's key for good; again, it says since when it is destroyed", callers=FOR_PEOPLE,
)  # fmt: skip

ROUTES = (CREATE_KEY, PROCESS, OPEN, DISCLOSE, ERASE_KEY)
