"""The field types that all of Lucid's signed and hashed records are made of."""

from typing import Annotated

import msgspec

MAX_INTEGER = 2**53 - 1
"""The largest integer that every JSON reader, JavaScript's included, keeps exact (RFC 8785, 3.2.2.3)."""

# In a regular expression `$` also matches before a final newline, hence the length bounds and `(?!\n)`.
Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$", min_length=64, max_length=64)]
"""32 bytes as 64 lower-case hex digits: a SHA-256 hash, or an Ed25519 public key."""

SessionId = Annotated[
    str, msgspec.Meta(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", min_length=36, max_length=36)
]
"""A UUID in its canonical lower-case text form (RFC 9562, section 4)."""

Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)]
"""A number of things, a size in bytes or a position."""

Millis = Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)]
"""A time in milliseconds since the Unix epoch. Such fields' names end in `_ms`."""

Track = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
"""The number of a recorded track within its session; 0 is the picture."""

Text = Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f\x7f]{1,255}$(?!\n)", min_length=1, max_length=255)]
"""1 to 255 characters of one line, without control characters."""

Name = Annotated[
    str, msgspec.Meta(pattern=r"^[^\s+\x00-\x1f\x7f]{1,255}$(?!\n)", min_length=1, max_length=255)
]
"""The name of a log or of a key: 1 to 255 characters, no spaces, no plus (C2SP signed-note)."""


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A record that is hashed or signed: every field present, no other field, never changed."""
