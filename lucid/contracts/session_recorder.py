"""session-recorder: captures displays into its spool and sees every chunk through to its anchor."""

from typing import Annotated, Literal

import msgspec

from lucid.contracts.types import FrameRate, Hash, SessionBytes, SessionId, SessionPath, UserId
from lucid.evidence.policy import Quality
from lucid.kit.errors import Code
from lucid.kit.routes import Nothing, Route

SERVICE = "session-recorder"

Display = Annotated[
    str, msgspec.Meta(pattern=r"^:[0-9]{1,5}(\.[0-9]{1,2})?$", description="A display of this host, e.g. :10")
]
Cookie = Annotated[
    str, msgspec.Meta(pattern=r"^[0-9a-f]{32}$", description="MIT-MAGIC-COOKIE-1 of the display, hex.")
]


Events = Literal["input", "clipboard"]


class StartRecording(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """What to record. Whoever shows the display's cookie may have it recorded."""

    session: SessionId
    owner: UserId
    display: Display
    cookie: Cookie
    frame_rate: FrameRate
    quality: Quality
    policy_sha256: Hash
    max_bytes: SessionBytes
    """The session ends with reason `quota` when it would grow beyond this."""
    events: tuple[Events, ...] = ()
    """What is recorded beside the picture, as a track of events."""

    def __repr__(self) -> str:
        return f"StartRecording(session={self.session!r}, display={self.display!r}, cookie=***)"


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a recording. finishing: capture is over, chunks and manifest are on their way."""

    session: SessionId
    state: Literal["recording", "paused", "finishing", "finished", "failed"]
    started_ms: int
    ended_ms: int | None
    chunks: int
    stored: int
    anchored: int
    raw_bytes: int
    spooled_bytes: int
    end_reason: str | None
    evictions: int = 0
    """How often the X server has cut the recorder off, as any program of the session may ask it to."""
    manifest: Hash | None
    """Leaf hash of the manifest once it has been handed over."""
    error: str | None


Stop = Literal["stopped", "violation"]
"""Why a recording is told to end."""


class StopRecording(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which recording to end, and what its manifest will say why. The first reason stands."""

    session: SessionId
    reason: Stop = "stopped"


START = Route(
    SERVICE, "POST", "/recordings", Nothing, StartRecording, Recording,
    "Start recording a display; answered when the first fragment is durable", status=201,
    errors=(Code.EXISTS, Code.UNAVAILABLE, Code.STORAGE_FULL),
)  # fmt: skip
GET = Route(
    SERVICE, "GET", "/recordings/{session}", SessionPath, Nothing, Recording, "A recording",
    errors=(Code.NOT_FOUND,),
)  # fmt: skip
PAUSE = Route(
    SERVICE, "PUT", "/recordings/{session}/pause", SessionPath, Nothing, Recording,
    "Stop capturing for a while; the gap is named in the manifest",
    errors=(Code.NOT_FOUND, Code.SESSION_STATE),
)  # fmt: skip
RESUME = Route(
    SERVICE, "PUT", "/recordings/{session}/resume", SessionPath, Nothing, Recording, "Capture again",
    errors=(Code.NOT_FOUND, Code.SESSION_STATE),
)  # fmt: skip
STOP = Route(
    SERVICE, "PUT", "/recordings/{session}/stop", StopRecording, Nothing, Recording,
    "End the recording; what is spooled is still sent and anchored", errors=(Code.NOT_FOUND,),
)  # fmt: skip

ERASE = Route(
    SERVICE, "DELETE", "/recordings/{session}", SessionPath, Nothing, Nothing,
    "Remove what a recording that failed has left in the spool; nothing of it there is no error", status=204,
    errors=(Code.SESSION_STATE,), callers=("session-api",),
)  # fmt: skip

ROUTES = (START, GET, PAUSE, RESUME, STOP, ERASE)
