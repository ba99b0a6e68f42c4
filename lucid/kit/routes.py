"""Typed routes: one value says where a request goes, what it carries and who may send it.

Services bind handlers to routes, callers pass the same route to the client, the gateway builds its table from
them, and the OpenAPI document is generated from them.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Generic, TypeVar

import msgspec

from lucid.kit.errors import Code


class Access(IntEnum):
    """Who may call a route. Ordered: a role may do all that the ones below it may."""

    INTERNAL = -1
    """Only services, by their certificates; never reachable through the gateway."""
    PUBLIC = 0
    USER = 1
    NODE_OPERATOR = 2
    ADMIN = 3
    SUPER_ADMIN = 4

    @property
    def role(self) -> str:
        """The role's name in tokens, e.g. `node_operator`."""
        return self.name.lower()


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters, no body, or no content."""


NOTHING = Nothing()


class Stream:
    """A body that is passed on as it comes; its route says of which media type it is."""

    def __init__(
        self,
        chunks: AsyncIterator[bytes],
        *,
        length: int | None = None,
        filename: str | None = None,
    ) -> None:
        self.chunks = chunks
        self.length = length
        self.filename = filename


class Content(Stream):
    """A body of known bytes that can be read from anywhere, so that a part of it can be asked for.

    `read(first, stop)` gives the bytes from `first` to before `stop` without reading those in front.
    `etag` changes whenever any byte does.
    """

    length: int

    def __init__(
        self,
        read: Callable[[int, int], AsyncIterator[bytes]],
        *,
        length: int,
        etag: str,
        filename: str | None = None,
    ) -> None:
        super().__init__(read(0, length), length=length, filename=filename)
        self.etag = etag
        self._read = read

    def part(self, first: int, stop: int) -> Stream:
        """The bytes from `first` to before `stop`."""
        return Stream(
            self._read(first, stop),
            length=stop - first,
            filename=self.filename,
        )


P = TypeVar("P", bound=msgspec.Struct)
B = TypeVar("B")
R = TypeVar("R")


_ANY = frozenset({Code.INVALID, Code.INTERNAL, Code.DATABASE, Code.EXTERNAL, Code.TIMEOUT, Code.UNAVAILABLE})
_OF_VALUES = frozenset({Code.MISSING_FIELD, Code.FORMAT, Code.OUT_OF_RANGE, Code.UUID})
_OF_BODY = frozenset({Code.JSON, Code.TOO_LARGE})
_OF_TOKEN = frozenset(
    {Code.AUTHENTICATION_REQUIRED, Code.TOKEN_EXPIRED, Code.TOKEN_INVALID, Code.LOGIN_ENDED}
)


@dataclass(frozen=True)
class Route(Generic[P, B, R]):
    """One operation of `service`.

    `params` is a struct whose fields are the path's `{names}` and, for the rest, the query string.
    `body` and `response` are msgspec types, `Nothing`, or `Stream`. `idempotent` lets the client retry.
    """

    service: str
    method: str
    path: str
    params: type[P]
    body: type[B]
    response: type[R]
    summary: str
    access: Access = Access.INTERNAL
    status: int = 200
    errors: tuple[Code, ...] = ()
    media: str = "application/octet-stream"
    """Media type of a body or an answer that is a stream."""
    max_body: int = 1024 * 1024
    """Largest request body, bytes."""
    idempotent: bool = field(default=False)
    quiet: bool = False
    """Asked every second: that it was answered is not worth a line in the log."""
    seconds: float | None = None
    """How long people wait for the answer, where that is longer than the gateway waits for others."""
    callers: tuple[str, ...] = ()
    """The only services that may call it; if empty, all that the catalogue lets call `service`."""

    def __post_init__(self) -> None:
        if self.method in {"GET", "PUT", "DELETE"}:
            object.__setattr__(self, "idempotent", True)

    @property
    def failures(self) -> tuple[Code, ...]:
        """What it may fail with: its own errors, and those that follow from what it takes, and from whom."""
        found = {*self.errors, *_ANY}
        if self.params is not Nothing:
            found |= _OF_VALUES
        if self.body is not Nothing:
            found |= _OF_VALUES | _OF_BODY
        if self.access > Access.PUBLIC:
            found |= _OF_TOKEN
        if self.access is Access.INTERNAL or self.access > Access.USER:
            found.add(Code.PERMISSION)
        return tuple(sorted(found, key=lambda code: code.number))

    @property
    def path_names(self) -> tuple[str, ...]:
        """The names in the path, in order."""
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))
