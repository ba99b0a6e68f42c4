"""Answers, from bytes to status, headers and pieces of a body (RFC 9112). No I/O.

llhttp, through httptools, takes the bytes apart. What it lets pass and a gateway must not is refused here: a
head without end, and any body whose end could be told in two ways or in none, because half an answer must
never look like a whole one.
"""

import httptools
import msgspec

from lucid.gateway.upstream.failures import Broken

MAX_HEAD = 64 * 1024
"""Most bytes that may come without an answer's head, or a piece of its body, to show for them."""
MAX_HEADERS = 128
SWITCHING = 101
_BODYLESS = frozenset({204, 304})


class Head(msgspec.Struct, frozen=True):
    """Status and headers as they came; names in lower case."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]

    def get(self, name: bytes) -> bytes | None:
        """The first value of the header `name`."""
        return next((value for key, value in self.headers if key == name), None)


class AnswerParser:
    """Reads the answers of one connection, one after the other; `begin` before each."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._fault = ""
        self.begin(bodyless=False)

    def begin(self, *, bodyless: bool) -> None:
        """The next answer is to a new request; `bodyless` if that was HEAD."""
        self._bodyless = bodyless
        self._unaccounted = 0
        self.head: Head | None = None
        self.pieces: list[bytes] = []
        """What has come of the body since it was last taken."""
        self.done = False
        """Whether the answer has come to its end."""
        self.keep = False
        """Whether the connection can be used for another exchange after this one."""
        self.surplus = b""
        """What came behind a head that switches protocols (101)."""

    def feed(self, data: bytes) -> None:
        """Takes in what has come. Raises Broken for what is no answer."""
        self._unaccounted += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as switch:
            self.surplus = data[switch.args[0] :]
        except httptools.HttpParserError as error:
            raise Broken(f"not HTTP: {self._fault or error}") from None
        if self._unaccounted > MAX_HEAD:
            raise Broken(f"over {MAX_HEAD} bytes without a head or a piece of a body")

    def on_message_begin(self) -> None:
        """Called by llhttp."""
        if self.done:
            raise self._refuse("an answer that nobody asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by llhttp, for trailers too."""
        if len(self._headers) >= MAX_HEADERS:
            raise self._refuse(f"over {MAX_HEADERS} headers")
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Called by llhttp."""
        status = self._parser.get_status_code()
        headers, self._headers = tuple(self._headers), []
        if 100 <= status < 200 and status != SWITCHING:
            return
        head = Head(status, headers)
        if not (self._bodyless or status == SWITCHING or status in _BODYLESS):
            self._check_framing(headers)
        self.head = head
        self._unaccounted = 0
        self.keep = self._parser.should_keep_alive() and not self._bodyless and status != SWITCHING
        # llhttp cannot be told that an answer to HEAD has no body: it is over here, and so is its connection.
        self.done = self._bodyless

    def on_body(self, piece: bytes) -> None:
        """Called by llhttp."""
        self.pieces.append(piece)
        self._unaccounted = 0

    def on_message_complete(self) -> None:
        """Called by llhttp, for interim answers too."""
        self._headers.clear()
        self.done = self.head is not None

    def _check_framing(self, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        """One way to tell the end of the body, and only one (RFC 9112, section 6.3)."""
        lengths = [value for name, value in headers if name == b"content-length"]
        codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
        if not ((len(lengths) == 1 and not codings) or (codings == [b"chunked"] and not lengths)):
            raise self._refuse("the end of the body is told in no way, or in more than one")

    def _refuse(self, fault: str) -> Broken:
        # An exception in a callback stops the parser, which then reports it in its own words.
        self._fault = fault
        return Broken(fault)
