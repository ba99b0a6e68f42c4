"""Who may log in: the question of a listener, read and answered. No I/O.

xrdp 0.9 asks a session manager over TCP whether user and password are right before it connects to the X
server (`pamsessionmng` in xrdp.ini(5)). The message is the gateway authentication of SCP, version 0: a header
of version and size, then code 4, user and password, each preceded by its length; the answer has the code and
a result of PAM. All integers are big-endian; version and size have 32 bits, the others 16.

The user is not the client's word but the listener's own, fixed in its configuration: it says whose it is.
"""

import struct
from dataclasses import dataclass, field

HEADER_SIZE = 8
MOST = HEADER_SIZE + 2 + 2 * (2 + 512)
"""Size of the longest question: xrdp cuts names and passwords at 512 bytes."""
_GATEWAY_AUTHENTICATION = 4
_SUCCESS, _DENIED = 0, 7  # PAM_SUCCESS, PAM_AUTH_ERR


class QuestionError(ValueError):
    """It is no such question."""


@dataclass(frozen=True, slots=True)
class Question:
    """Which listener asks, and the password that its client gave."""

    user: bytes
    password: bytes = field(repr=False)


def body_size(header: bytes) -> int:
    """How many bytes follow the header. Raises QuestionError."""
    version, size = struct.unpack(">II", header)
    if version != 0:
        raise QuestionError(f"version {version} is not 0")
    if not HEADER_SIZE < size <= MOST:
        raise QuestionError(f"a size of {size} bytes is not from {HEADER_SIZE + 1} to {MOST}")
    return int(size) - HEADER_SIZE


def read(body: bytes) -> Question:
    """The question that follows a header. Raises QuestionError."""
    code = int.from_bytes(body[:2], "big")
    if len(body) < 2 or code != _GATEWAY_AUTHENTICATION:
        raise QuestionError(f"code {code} is not {_GATEWAY_AUTHENTICATION}")
    user, rest = _string(body[2:], "user")
    password, rest = _string(rest, "password")
    if rest:
        raise QuestionError(f"{len(rest)} bytes follow the password")
    return Question(user, password)


def answer(*, right: bool) -> bytes:
    """What the listener is told."""
    result = _SUCCESS if right else _DENIED
    body = struct.pack(">HHH", _GATEWAY_AUTHENTICATION, result, 0)
    return struct.pack(">II", 0, HEADER_SIZE + len(body)) + body


def question(asked: Question) -> bytes:
    """The question as a listener sends it."""
    strings = b"".join(struct.pack(">H", len(each)) + each for each in (asked.user, asked.password))
    body = struct.pack(">H", _GATEWAY_AUTHENTICATION) + strings
    return struct.pack(">II", 0, HEADER_SIZE + len(body)) + body


def _string(data: bytes, name: str) -> tuple[bytes, bytes]:
    if len(data) < 2:
        raise QuestionError(f"it ends before the {name}")
    length = int.from_bytes(data[:2], "big")
    if length > len(data) - 2:
        raise QuestionError(f"it ends inside the {name}")
    return data[2 : 2 + length], data[2 + length :]
