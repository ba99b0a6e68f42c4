"""session-pipeline: grants credits and holds the state of what is on its way. It carries no bytes."""

from typing import Annotated, Literal

import msgspec

from lucid.contracts.types import Count, Index, SessionId, SessionPath, Track
from lucid.kit.errors import Code
from lucid.kit.routes import Nothing, Route

SERVICE = "session-pipeline"

PipelineState = Literal["inactive", "active", "paused", "error", "stopped"]
ChunkState = Literal["recorded", "processing", "sealed", "stored", "anchored", "failed"]


class ChunkName(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A chunk within its session."""

    track: Track
    index: Index


class AskCredits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Chunks that are on the recorder's disk and want to be sent, oldest first."""

    chunks: Annotated[tuple[ChunkName, ...], msgspec.Meta(min_length=1, max_length=64)]
    done: Annotated[tuple[ChunkName, ...], msgspec.Meta(max_length=1000)] = ()
    """Chunks whose credits come back."""


class Credits(msgspec.Struct, frozen=True):
    """Chunks that may be sent now. Those left out wait; ask again after `retry_ms`."""

    granted: tuple[ChunkName, ...]
    retry_ms: int


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The recorder's progress. All figures are totals, so that a report repeated or lost does no harm."""

    done: Annotated[tuple[ChunkName, ...], msgspec.Meta(max_length=1000)] = ()
    """Chunks whose credits come back."""
    recorded: Count
    stored: Count
    anchored: Count
    failed: Count
    """Sendings that failed and were tried again."""
    raw_bytes: Count
    sealed_bytes: Count
    spooled_bytes: Count


class Pipeline(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a session's chunks on their way. Live figures are None while Redis is away."""

    session: SessionId
    state: PipelineState
    in_flight: int
    recorded: int
    stored: int
    anchored: int
    failed: int
    raw_bytes: int
    sealed_bytes: int
    spooled_bytes: int | None


class SetState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The state to go to."""

    state: PipelineState


SET_STATE = Route(
    SERVICE, "PUT", "/pipelines/{session}/state", SessionPath, SetState, Pipeline,
    "Open, pause, resume or stop a session's pipeline", errors=(Code.SESSION_STATE,),
)  # fmt: skip
CREDITS = Route(
    SERVICE, "POST", "/pipelines/{session}/credits", SessionPath, AskCredits, Credits,
    "Ask leave to send chunks", errors=(Code.NOT_FOUND, Code.SESSION_STATE), idempotent=True,
)  # fmt: skip
REPORT = Route(
    SERVICE, "POST", "/pipelines/{session}/report", SessionPath, Report, Pipeline,
    "Say what became of chunks; their credits come back", errors=(Code.NOT_FOUND,), idempotent=True,
)  # fmt: skip
GET = Route(
    SERVICE, "GET", "/pipelines/{session}", SessionPath, Nothing, Pipeline, "A session's pipeline",
    errors=(Code.NOT_FOUND,),
)  # fmt: skip

ROUTES = (SET_STATE, CREDITS, REPORT, GET)
