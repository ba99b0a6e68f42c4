"""Client connections as aiohttp has them, but for what is no HTTP, and for those who take their time.

aiohttp answers malformed requests by itself, in plain text, before any of this house's code has run. Here
they get the envelope that every other failure gets. A request's head that does not come to its end in time
ends the connection, and so does silence from the start: aiohttp would wait for ever.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from lucid import __version__
from lucid.kit import context
from lucid.kit.errors import Invalid, LucidError, envelope
from lucid.kit.logs import log

HEAD_SECONDS = 10.0
"""Longest time from a request's first byte to its head's last; of a first request, from the connection on."""
PARSER = {"auto_decompress": False}
"""How aiohttp is to read requests: a body is what was sent, not what a few bytes may unfold to."""


@dataclass(frozen=True, slots=True)
class Face:
    """As what a service shows itself to those who speak no HTTP; for them no signal handler is called.

    `count` is told the status of each such answer. Metrics may not be imported here, see `lucid.kit.launch`.
    """

    service: str = "-"
    headers: Mapping[str, str] = field(default_factory=dict)
    count: Callable[[int], None] = lambda _: None


FACE = web.AppKey("face", Face)


class Connection(RequestHandler):
    """One client's connection to a service."""

    __slots__ = ("_face", "_limit")

    def __init__(self, server: web.Server, face: Face, **options: Any) -> None:
        super().__init__(server, **options)
        self._face = face
        self._limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called once."""
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Called for all that comes."""
        heads = self._request_count
        super().data_received(data)
        if self._request_count > heads:
            self._forget_limit()
        # Still waiting for a request after some of it has come: its head is not complete.
        elif self._waiter is not None and not self._waiter.done():
            self._expect_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Called once."""
        self._forget_limit()
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's words quote the request
    ) -> web.StreamResponse:
        """The answer to what is no HTTP, and to a failure that the application has no answer for."""
        if request.writer.output_size > 0 or request.transport is None:
            raise ConnectionError("part of an answer is out, or the client gone: nothing else can be said")
        if status < 500:
            failure: LucidError = Invalid("the request is not HTTP as it should be")
            log.info("request", method="-", endpoint="malformed", status=status)
        else:
            failure = LucidError("something unforeseen went wrong; the log has the request id")
            log.error("unforeseen failure", exc_info=exc)
        self._face.count(status)
        request_id = context.new_request_id(None)
        body = envelope(failure, request_id=request_id, service=self._face.service, version=__version__)
        response = web.Response(
            body=body, status=status, content_type="application/json", headers=self._face.headers
        )
        response.headers[context.REQUEST_ID_HEADER] = request_id
        response.force_close()
        return response

    def _expect_head(self) -> None:
        if self._limit is None:
            self._limit = self._loop.call_later(HEAD_SECONDS, self.force_close)

    def _forget_limit(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None


def factory(
    server: web.Server, app: web.Application, *, keepalive_seconds: float
) -> Callable[[], asyncio.Protocol]:
    """What makes a `Connection` to `app` of each connection that is accepted."""
    face = app.get(FACE, Face())
    options = {"keepalive_timeout": keepalive_seconds, "access_log": None, **PARSER}
    loop = asyncio.get_running_loop()

    def make() -> Connection:
        return Connection(server, face, loop=loop, **options)

    return make
