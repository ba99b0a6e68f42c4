"""session-storage: keeps sealed chunks; an answer means that the chunk is on disk and on record."""

import msgspec

from lucid.contracts.types import MAX_SEALED, ChunkPath, Count, Index, SessionId, SessionPath, Track
from lucid.kit.errors import Code
from lucid.kit.routes import Nothing, Route, Stream

SERVICE = "session-storage"
LEAF_HEADER = "Lucid-Leaf"
"""Request header of a PUT: the chunk's leaf, canonical JSON."""


class StoreChunk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names the chunk and its place in the session's tree."""

    session: SessionId
    track: Track
    index: Index
    sequence: Count


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """The chunk that is on disk under this name: the first one that came."""

    leaf: str
    """Canonical JSON, exactly as hashed."""
    stored_ms: int
    duplicate: bool


class StoredLeaf(msgspec.Struct, frozen=True):
    """A leaf, canonical JSON, exactly as hashed."""

    leaf: str


class Arrivals(msgspec.Struct, frozen=True):
    """When each of a session's chunks was on record, milliseconds since the Unix epoch, in tree order."""

    stored_ms: tuple[int, ...]


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What the store holds and has room for, bytes."""

    chunks: int
    sealed_bytes: int
    free_bytes: int


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """That a session's sealed chunks are gone, and since when. Their leaves are kept."""

    session: SessionId
    erased_ms: int


STORE = Route(
    SERVICE, "PUT", "/sessions/{session}/tracks/{track}/chunks/{index}", StoreChunk, Stream, Stored,
    "Keep a sealed chunk; the first one under its name wins", max_body=MAX_SEALED,
    errors=(Code.FORMAT, Code.CONFLICT, Code.TOO_LARGE, Code.STORAGE_FULL),
)  # fmt: skip
CHUNK = Route(
    SERVICE, "GET", "/sessions/{session}/tracks/{track}/chunks/{index}", ChunkPath, Nothing, Stream,
    "A sealed chunk", errors=(Code.NOT_FOUND,),
)  # fmt: skip
LEAF = Route(
    SERVICE, "GET", "/sessions/{session}/tracks/{track}/chunks/{index}/leaf", ChunkPath, Nothing, StoredLeaf,
    "A chunk's leaf", errors=(Code.NOT_FOUND,),
)  # fmt: skip
LEAVES = Route(
    SERVICE, "GET", "/sessions/{session}/leaves", SessionPath, Nothing, Stream,
    "The leaves in tree order, one canonical JSON a line", media="application/x-ndjson",
)  # fmt: skip
ARRIVALS = Route(
    SERVICE, "GET", "/sessions/{session}/arrivals", SessionPath, Nothing, Arrivals,
    "When the session's chunks were stored",
)  # fmt: skip
ERASE = Route(
    SERVICE, "DELETE", "/sessions/{session}/chunks", SessionPath, Nothing, Erased,
    "Remove the session's sealed chunks for good and take no more; its leaves stay",
    callers=("session-api",),
)  # fmt: skip
USAGE = Route(SERVICE, "GET", "/storage", Nothing, Nothing, Usage, "What the store holds")

ROUTES = (STORE, CHUNK, LEAF, LEAVES, ARRIVALS, ERASE, USAGE)
