"""Every failure that Lucid answers with, and the envelope it travels in.

    LucidError                 code, message, details; knows its HTTP status
    ├── Invalid                1001-1010, 400/413: the request is at fault
    ├── Unauthenticated        2001-2010, 401: who are you?
    ├── Forbidden              2004, 403: not you
    ├── Limited                3001-3005, 429
    ├── NotFound               4001, 404
    ├── Conflict               4002, 4007, 4011, ... 409: the request does not fit what is there
    └── Unavailable            5002-5009, 502-504: a dependency is at fault; never answered as 401
        └── StorageFull        5010, 507

An exception that is none of these is answered 5001 with the request id and logged with its trace.
"""

from datetime import UTC, datetime
from enum import Enum
from typing import Any

import msgspec


class Code(Enum):
    """Error codes: number and HTTP status. One catalogue for all services."""

    INVALID = (1001, 400)
    MISSING_FIELD = (1002, 400)
    FORMAT = (1003, 400)
    OUT_OF_RANGE = (1004, 400)
    UUID = (1005, 400)
    MAIL_ADDRESS = (1006, 400)
    WEAK_PASSWORD = (1007, 400)
    JSON = (1009, 400)
    TOO_LARGE = (1010, 413)
    AUTHENTICATION_REQUIRED = (2001, 401)
    TOKEN_EXPIRED = (2002, 401)
    TOKEN_INVALID = (2003, 401)
    PERMISSION = (2004, 403)
    ACCOUNT_LOCKED = (2005, 401)
    LINK_EXPIRED = (2006, 401)
    SECOND_FACTOR = (2007, 401)
    WALLET_SIGNATURE = (2008, 401)
    LOGIN_ENDED = (2009, 401)
    REFRESH_INVALID = (2010, 401)
    RATE = (3001, 429)
    QUOTA = (3002, 429)
    BANDWIDTH = (3004, 429)
    NOT_FOUND = (4001, 404)
    EXISTS = (4002, 409)
    NOT_ALLOWED = (4003, 405)
    SESSION_SIZE = (4005, 409)
    CHUNK_SIZE = (4006, 413)
    SESSION_STATE = (4007, 409)
    CHAIN_UNAVAILABLE = (4009, 503)
    CONFLICT = (4011, 409)
    INTERNAL = (5001, 500)
    DATABASE = (5002, 503)
    EXTERNAL = (5003, 502)
    CONFIGURATION = (5004, 503)
    NETWORK = (5005, 502)
    TIMEOUT = (5006, 504)
    BREAKER_OPEN = (5007, 503)
    UNAVAILABLE = (5008, 503)
    STORAGE_FULL = (5010, 507)

    def __init__(self, number: int, status: int) -> None:
        self.number = number
        self.status = status

    @property
    def label(self) -> str:
        """The code as it stands in answers and documentation: LUCID_ERR_nnnn."""
        return f"LUCID_ERR_{self.number}"


BY_LABEL = {code.label: code for code in Code}


class LucidError(Exception):
    """A failure with a code of the catalogue."""

    default = Code.INTERNAL

    def __init__(self, message: str, *, code: Code | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default
        self.details = details


class Invalid(LucidError):
    """The request cannot be understood or breaks a limit."""

    default = Code.INVALID


class Unauthenticated(LucidError):
    """No credentials, or none that hold."""

    default = Code.AUTHENTICATION_REQUIRED


class Forbidden(LucidError):
    """Known, but not allowed."""

    default = Code.PERMISSION


class Limited(LucidError):
    """More than is allowed at this time."""

    default = Code.QUOTA


class NotFound(LucidError):
    """No such thing, or none that the caller may know of."""

    default = Code.NOT_FOUND


class Conflict(LucidError):
    """The request does not fit the state it meets."""

    default = Code.CONFLICT


class Unavailable(LucidError):
    """Something that this service needs is down, slow or full."""

    default = Code.UNAVAILABLE


class StorageFull(Unavailable):
    """The disk has no room; nothing was written."""

    default = Code.STORAGE_FULL


class ErrorBody(msgspec.Struct, frozen=True):
    """What went wrong, for programs (`code`, `details`) and people (`message`)."""

    code: str
    message: str
    details: dict[str, Any]
    request_id: str
    timestamp: str
    """RFC 3339, UTC."""
    service: str
    version: str


class Envelope(msgspec.Struct, frozen=True):
    """The body of every answer that is not a success."""

    error: ErrorBody


def envelope(error: LucidError, *, request_id: str, service: str, version: str) -> bytes:
    """The JSON body for `error`."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body = ErrorBody(error.code.label, error.message, error.details, request_id, now, service, version)
    return msgspec.json.encode(Envelope(body))


def from_envelope(body: bytes | bytearray, status: int, service: str) -> LucidError:
    """The error that `service` answered with, to be raised here. An answer that is no envelope is 5003."""
    try:
        error = msgspec.json.decode(body, type=Envelope).error
        code = BY_LABEL[error.code]
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError):
        return Unavailable(f"{service} answered {status} without an error envelope", code=Code.EXTERNAL)
    found = of_code(code, error.message)
    found.details = error.details  # not as keywords: the callee's names may be any, `code` and `message` too
    return found


def of_code(code: Code, message: str) -> LucidError:
    """The error of this code, as the kind that its status makes it."""
    return _KINDS.get(code.status, Unavailable)(message, code=code)


_KINDS: dict[int, type[LucidError]] = {
    400: Invalid,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    405: Invalid,
    409: Conflict,
    413: Invalid,
    429: Limited,
    507: StorageFull,
}
