"""What is sent to a service: one request's head as bytes, and where its body comes from. No I/O."""

import re
from collections.abc import AsyncIterator, Iterable

import msgspec

from lucid.kit.errors import Code, Invalid

Headers = Iterable[tuple[str, str]]
_VALUE = re.compile(r"[\t\x20-\x7e]*")


class UpstreamRequest(msgspec.Struct, frozen=True):
    """One request. A body of bytes can be sent again, one that streams cannot.

    `length` announces how long a stream is, bytes; without it the stream is sent in chunks.
    """

    method: str
    target: str
    """Path and query as in the request line."""
    headers: Headers
    body: bytes | AsyncIterator[bytes] | None = None
    length: int | None = None
    idempotent: bool = False

    @property
    def repeatable(self) -> bool:
        """Whether it may be sent again after it may have been carried out."""
        return self.idempotent and (self.body is None or isinstance(self.body, bytes))

    def head(self, authority: str) -> bytes:
        """The request line and headers. Raises Invalid 1003 for a header's value that is no text."""
        lines = [f"{self.method} {self.target} HTTP/1.1\r\nHost: {authority}\r\n"]
        for name, value in self.headers:
            # `isprintable` says at once what the pattern says of almost every value there is.
            if not (value.isascii() and value.isprintable()) and not _VALUE.fullmatch(value):
                raise Invalid(
                    f"header `{name}` holds more than printable ASCII", code=Code.FORMAT, field=name
                )
            lines.append(f"{name}: {value}\r\n")
        if isinstance(self.body, bytes):
            lines.append(f"Content-Length: {len(self.body)}\r\n")
        elif self.body is not None:
            framing = (
                "Transfer-Encoding: chunked" if self.length is None else f"Content-Length: {self.length}"
            )
            lines.append(framing + "\r\n")
        lines.append("\r\n")
        return "".join(lines).encode("ascii")


class Patience(msgspec.Struct, frozen=True):
    """How long a service may keep the gateway waiting, seconds.

    `read`: the longest silence, until the answer's head, then between two pieces of it.
    `total`: the exchange as a whole; None for as long as bytes keep coming.
    """

    connect: float = 5.0
    read: float = 10.0
    total: float | None = None
