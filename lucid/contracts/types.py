"""Field types that several services share."""

from typing import Annotated

import msgspec

_UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
SessionId = Annotated[str, msgspec.Meta(pattern=_UUID, description="Session id: a UUID in lower case.")]
UserId = Annotated[str, msgspec.Meta(pattern=_UUID, description="Account id: a UUID in lower case.")]
Hash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$", description="SHA-256, lower-case hex.")]
Track = Annotated[int, msgspec.Meta(ge=0, le=15, description="0 is the picture.")]
Index = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1, description="Position within the track, from 0.")]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
Milliseconds = Annotated[
    int, msgspec.Meta(ge=0, le=2**53 - 1, description="Milliseconds since the Unix epoch, UTC.")
]
Moment = Annotated[str, msgspec.Meta(description="RFC 3339, UTC.")]
FrameRate = Annotated[int, msgspec.Meta(ge=1, le=120, description="Frames a second.")]
RetentionDays = Annotated[int, msgspec.Meta(ge=1, le=365, description="Days that a recording is kept.")]
SessionBytes = Annotated[int, msgspec.Meta(ge=1024 * 1024, le=100 * 1024**3)]
PageLimit = Annotated[int, msgspec.Meta(ge=1, le=100, description="Rows of a page.")]
PageOffset = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1, description="Rows before the page.")]
Text = Annotated[str, msgspec.Meta(max_length=200)]
EnvelopeText = Annotated[
    str, msgspec.Meta(max_length=256 * 1024, description="A DSSE envelope, canonical JSON.")
]

MAX_CHUNK = 16 * 1024 * 1024
"""Largest chunk before compression, bytes."""
MAX_SEALED = MAX_CHUNK + 64 * 1024
"""Largest sealed chunk: incompressible data grow by headers, salt, nonce and tag."""


class SessionPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names one session."""

    session: SessionId


class ChunkPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names one chunk."""

    session: SessionId
    track: Track
    index: Index
