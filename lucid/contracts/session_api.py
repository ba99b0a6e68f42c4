"""session-api: sessions, as people see them."""

from typing import Annotated, Literal

import msgspec

from lucid.contracts.session_pipeline import Pipeline
from lucid.contracts.session_recorder import Cookie, Display, Quality
from lucid.contracts.types import FrameRate, SessionId, SessionPath, Text, UserId
from lucid.kit.errors import Code
from lucid.kit.routes import Access, Nothing, Route, Stream

SERVICE = "session-api"

SessionState = Literal[
    "created", "starting", "recording", "paused", "stopped", "processing", "completed", "failed", "deleted"
]


class CreateSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How to record."""

    name: Text = ""
    frame_rate: FrameRate = 30
    quality: Quality = "high"
    max_bytes: Annotated[int, msgspec.Meta(ge=1024 * 1024, le=100 * 1024**3)] = 10 * 1024**3


class StartSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which display; its cookie shows that the caller may have it recorded."""

    display: Display
    cookie: Cookie

    def __repr__(self) -> str:
        return f"StartSession(display={self.display!r}, cookie=***)"


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A session."""

    id: SessionId
    name: str
    owner: UserId
    state: SessionState
    created_ms: int
    started_ms: int | None
    ended_ms: int | None
    frame_rate: int
    quality: str
    policy_sha256: str
    chunks: int
    raw_bytes: int
    end_reason: str | None
    error: str | None


class SessionsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Newest first; `before` is the id of the last session of the page before."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20
    before: SessionId | None = None


class Sessions(msgspec.Struct, frozen=True):
    """A page of sessions."""

    sessions: tuple[Session, ...]
    next: SessionId | None


class ChunkRow(msgspec.Struct, frozen=True, kw_only=True):
    """A stored chunk, from its leaf."""

    track: int
    index: int
    start_ms: int
    end_ms: int
    plain_size: int
    sealed_size: int
    sealed_sha256: str


class ChunksQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stretch of the session's chunks in tree order."""

    session: SessionId
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20
    offset: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0


class Chunks(msgspec.Struct, frozen=True):
    """A page of chunks."""

    chunks: tuple[ChunkRow, ...]
    total: int


class AnchorRow(msgspec.Struct, frozen=True, kw_only=True):
    """An anchor and where it stands."""

    entry: str
    kind: str
    state: str
    index: int | None
    height: int | None


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """How far a session is anchored."""

    session: SessionId
    anchored: bool
    """Whether the manifest is in a final block."""
    anchors: tuple[AnchorRow, ...]


class Manifest(msgspec.Struct, frozen=True):
    """The signed manifest, a DSSE envelope exactly as signed."""

    envelope: str


class BundleQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which session, and whether the sealed chunks come along."""

    session: SessionId
    chunks: bool = True


_STATE = (Code.NOT_FOUND, Code.SESSION_STATE)

CREATE = Route(
    SERVICE, "POST", "/sessions", Nothing, CreateSession, Session, "Create a session",
    access=Access.USER, status=201,
)  # fmt: skip
LIST = Route(
    SERVICE, "GET", "/sessions", SessionsQuery, Nothing, Sessions, "My sessions; admins see everybody's",
    access=Access.USER,
)  # fmt: skip
GET = Route(
    SERVICE, "GET", "/sessions/{session}", SessionPath, Nothing, Session, "One session",
    access=Access.USER, errors=(Code.NOT_FOUND,),
)  # fmt: skip
START = Route(
    SERVICE, "POST", "/sessions/{session}/start", SessionPath, StartSession, Session,
    "Start recording; answered when the first fragment is durable", access=Access.USER, errors=_STATE,
)  # fmt: skip
STOP = Route(
    SERVICE, "POST", "/sessions/{session}/stop", SessionPath, Nothing, Session, "End the recording",
    access=Access.USER, errors=_STATE,
)  # fmt: skip
PAUSE = Route(
    SERVICE, "POST", "/sessions/{session}/pause", SessionPath, Nothing, Session,
    "Stop capturing for a while", access=Access.USER, errors=_STATE,
)  # fmt: skip
RESUME = Route(
    SERVICE, "POST", "/sessions/{session}/resume", SessionPath, Nothing, Session, "Capture again",
    access=Access.USER, errors=_STATE,
)  # fmt: skip
CHUNKS = Route(
    SERVICE, "GET", "/sessions/{session}/chunks", ChunksQuery, Nothing, Chunks, "The stored chunks",
    access=Access.USER, errors=(Code.NOT_FOUND,),
)  # fmt: skip
MANIFEST = Route(
    SERVICE, "GET", "/sessions/{session}/manifest", SessionPath, Nothing, Manifest, "The signed manifest",
    access=Access.USER, errors=(Code.NOT_FOUND,),
)  # fmt: skip
PROOF = Route(
    SERVICE, "GET", "/sessions/{session}/proof", SessionPath, Nothing, Proof, "How far it is anchored",
    access=Access.USER, errors=(Code.NOT_FOUND,),
)  # fmt: skip
PIPELINE = Route(
    SERVICE, "GET", "/sessions/{session}/pipeline", SessionPath, Nothing, Pipeline,
    "What is on its way", access=Access.USER, errors=(Code.NOT_FOUND,),
)  # fmt: skip
BUNDLE = Route(
    SERVICE, "GET", "/sessions/{session}/bundle", BundleQuery, Nothing, Stream,
    "The evidence bundle, for offline verification", access=Access.USER, errors=_STATE,
)  # fmt: skip
REPLAY = Route(
    SERVICE, "GET", "/sessions/{session}/replay", SessionPath, Nothing, Stream,
    "The recording as fragmented MP4; each restart of the capture begins a new one", access=Access.USER,
    errors=_STATE,
)  # fmt: skip

ROUTES = (
    CREATE, LIST, GET, START, STOP, PAUSE, RESUME, CHUNKS, MANIFEST, PROOF, PIPELINE, BUNDLE, REPLAY,
)  # fmt: skip
