"""session-api: sessions, as people see them."""

from typing import Literal

import msgspec

from lucid.contracts.managed_sessions import CreateManaged, StartManaged
from lucid.contracts.session_access import (
    Accesses,
    AccessQuery,
    AccessRow,
    BundleQuery,
    DisclosureQuery,
    ReportViolation,
    SetHold,
    WatchQuery,
)
from lucid.contracts.session_pipeline import Pipeline
from lucid.contracts.session_recorder import Cookie, Display, StopRecording
from lucid.contracts.types import (
    FrameRate,
    Hash,
    Milliseconds,
    PageLimit,
    PageOffset,
    RetentionDays,
    SessionBytes,
    SessionId,
    SessionPath,
    Text,
    UserId,
)
from lucid.evidence.bundle import MEDIA_TYPE
from lucid.evidence.policy import Quality
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
    max_bytes: SessionBytes = 10 * 1024**3
    retention_days: RetentionDays = 30
    """The recording is erased so many days after its end, unless a legal hold is on it."""


class UpdateSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to change; all but the name only before the session is started."""

    name: Text | None = None
    frame_rate: FrameRate | None = None
    quality: Quality | None = None
    max_bytes: SessionBytes | None = None


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
    retention_days: int = 30
    held: bool = False
    """Whether a legal hold is on it."""
    erasing_ms: int | None = None
    """When its erasure was decided; from then on the recording is not handed out any more."""
    erased_ms: int | None = None
    """When its key was destroyed, once its tombstone is in a final block."""
    host: str | None = None
    """Where the desktop is, if it is the recording of a remote desktop."""


class SessionsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Newest first; `before` is the id of the last session of the page before.

    `owner` is for admins. Created at or after `from_ms` and before `to_ms`.
    """

    limit: PageLimit = 20
    before: SessionId | None = None
    state: SessionState | None = None
    owner: UserId | None = None
    from_ms: Milliseconds | None = None
    to_ms: Milliseconds | None = None


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
    limit: PageLimit = 20
    offset: PageOffset = 0


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


class ProofQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stretch of the session's anchors in the order they came."""

    session: SessionId
    limit: PageLimit = 20
    offset: PageOffset = 0


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """How far a session is anchored."""

    session: SessionId
    anchored: bool
    """Whether the manifest is in a final block."""
    anchors: tuple[AnchorRow, ...]
    total: int


class ChunkDelays(msgspec.Struct, frozen=True, kw_only=True):
    """How long after their last frame chunks were durably stored. Two hosts' clocks tell these times."""

    median_ms: int
    p95_ms: int
    longest_ms: int


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """A session in figures, from what is stored and anchored."""

    session: SessionId
    state: SessionState
    duration_ms: int
    """From the first frame to the end of the last, gaps included."""
    chunks: int
    raw_bytes: int
    sealed_bytes: int
    ratio: float | None
    """Recorded bytes for each byte stored."""
    gaps: int
    gap_ms: int
    anchors: int
    """The manifest included."""
    final_anchors: int
    unanchored_ms: int
    """Age of the oldest stored chunk that no final anchor covers; 0 when there is none."""
    stored_after: ChunkDelays | None


class ManifestPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names a manifest by its leaf hash in the log."""

    entry: Hash


class ManifestEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest and where it stands in the log."""

    entry: Hash
    session: SessionId
    state: Literal["pending", "final", "refused"]
    envelope: str
    index: int | None
    height: int | None


class Manifest(msgspec.Struct, frozen=True):
    """The signed manifest, a DSSE envelope exactly as signed."""

    envelope: str


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
UPDATE = Route(
    SERVICE, "PUT", "/sessions/{session}", SessionPath, UpdateSession, Session,
    "Rename a session; before its start, also change how it is recorded", access=Access.USER, errors=_STATE,
)  # fmt: skip
START = Route(
    SERVICE, "POST", "/sessions/{session}/start", SessionPath, StartSession, Session,
    "Start recording; answered when the first fragment is durable", access=Access.USER, errors=_STATE,
    seconds=35.0,
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
    SERVICE, "GET", "/sessions/{session}/proof", ProofQuery, Nothing, Proof, "How far it is anchored",
    access=Access.USER, errors=(Code.NOT_FOUND,),
)  # fmt: skip
STATISTICS = Route(
    SERVICE, "GET", "/sessions/{session}/statistics", SessionPath, Nothing, Statistics,
    "The session in figures", access=Access.USER, errors=(Code.NOT_FOUND,),
)  # fmt: skip
MANIFEST_ENTRY = Route(
    SERVICE, "GET", "/manifests/{entry}", ManifestPath, Nothing, ManifestEntry,
    "A signed manifest by its name in the log", access=Access.USER, errors=(Code.NOT_FOUND,),
)  # fmt: skip
PIPELINE = Route(
    SERVICE, "GET", "/sessions/{session}/pipeline", SessionPath, Nothing, Pipeline,
    "What is on its way", access=Access.USER, errors=(Code.NOT_FOUND,),
)  # fmt: skip
BUNDLE = Route(
    SERVICE, "GET", "/sessions/{session}/bundle", BundleQuery, Nothing, Stream,
    "The evidence bundle, for offline verification", access=Access.USER, errors=_STATE, media=MEDIA_TYPE,
)  # fmt: skip
REPLAY = Route(
    SERVICE, "GET", "/sessions/{session}/replay", SessionPath, Nothing, Stream,
    "The recording as fragmented MP4; each restart of the capture begins a new one", access=Access.USER,
    errors=(*_STATE, Code.EXTERNAL), media="video/mp4",
)  # fmt: skip
EVENTS = Route(
    SERVICE, "GET", "/sessions/{session}/events", SessionPath, Nothing, Stream,
    "What was typed, clicked and copied, where the policy had that recorded: a JSON object in each line",
    access=Access.USER, errors=(*_STATE, Code.EXTERNAL), media="application/vnd.lucid.events+jsonl",
)  # fmt: skip
WATCH = Route(
    SERVICE, "GET", "/sessions/{session}/watch", WatchQuery, Nothing, Stream,
    "Stored chunks of the picture, also while the session is being recorded; each is fragmented MP4 that"
    " plays alone", access=Access.USER,
    errors=(*_STATE, Code.EXTERNAL), media="video/mp4",
)  # fmt: skip
ERASE = Route(
    SERVICE, "DELETE", "/sessions/{session}", SessionPath, Nothing, Session,
    "Erase the recording for good; its tombstone is anchored", access=Access.USER, status=202, errors=_STATE,
)  # fmt: skip
HOLD = Route(
    SERVICE, "PUT", "/sessions/{session}/hold", SessionPath, SetHold, Session,
    "Begin or end a legal hold, which wins over retention and erasure", access=Access.ADMIN, errors=_STATE,
)  # fmt: skip
RECEIPT = Route(
    SERVICE, "GET", "/sessions/{session}/receipt", SessionPath, Nothing, Stream,
    "The bundle without chunks: proves that the recording existed, even once it is erased",
    access=Access.USER, errors=_STATE, media=MEDIA_TYPE,
)  # fmt: skip
DISCLOSURE = Route(
    SERVICE, "GET", "/sessions/{session}/disclosure", DisclosureQuery, Nothing, Stream,
    "The bundle with a stretch of the recording and the keys that open it", access=Access.USER,
    errors=(*_STATE, Code.OUT_OF_RANGE, Code.EXTERNAL), media=MEDIA_TYPE,
)  # fmt: skip
ACCESSES = Route(
    SERVICE, "GET", "/sessions/{session}/access", AccessQuery, Nothing, Accesses,
    "Who was given the recording, when it was held and when erased, and what broke the session's policy",
    access=Access.USER, errors=(Code.NOT_FOUND,),
)  # fmt: skip
VIOLATION = Route(
    SERVICE, "POST", "/sessions/{session}/violations", SessionPath, ReportViolation, AccessRow,
    "Put a violation of the session's policy on record; answered once the entry is stored durably",
    status=202, idempotent=True, errors=_STATE, callers=("session-controller",),
)  # fmt: skip
CREATE_MANAGED = Route(
    SERVICE, "POST", "/managed-sessions", Nothing, CreateManaged, Session,
    "Create the session of a remote desktop; the same again answers the same", status=201, idempotent=True,
    errors=(Code.CONFLICT,), callers=("rdp-manager",),
)  # fmt: skip
START_MANAGED = Route(
    SERVICE, "POST", "/managed-sessions/{session}/start", SessionPath, StartManaged, Session,
    "Start recording a desktop, or find it recorded; answered when the first fragment is durable",
    errors=(*_STATE, Code.CONFLICT), idempotent=True, callers=("session-controller",),
)  # fmt: skip
STOP_MANAGED = Route(
    SERVICE, "POST", "/managed-sessions/{session}/stop", StopRecording, Nothing, Session,
    "End the recording of a desktop; one that has ended is no error", errors=_STATE, idempotent=True,
    callers=("rdp-manager", "session-controller"),
)  # fmt: skip
GET_MANAGED = Route(
    SERVICE, "GET", "/managed-sessions/{session}", SessionPath, Nothing, Session,
    "The session of a remote desktop", errors=(Code.NOT_FOUND,),
    callers=("rdp-manager", "session-controller"),
)  # fmt: skip

ROUTES = (
    CREATE, LIST, GET, UPDATE, START, STOP, PAUSE, RESUME, CHUNKS, MANIFEST, PROOF, STATISTICS,
    MANIFEST_ENTRY, PIPELINE, BUNDLE, REPLAY, EVENTS, WATCH,
    ERASE, HOLD, RECEIPT, DISCLOSURE, ACCESSES, VIOLATION,
    CREATE_MANAGED, START_MANAGED, STOP_MANAGED, GET_MANAGED,
)  # fmt: skip
