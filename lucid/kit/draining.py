"""A worker on its way out: it answers what it has, and asks its clients to come back elsewhere.

Closing an idle keep-alive connection is a race: the client may have sent its next request already, and a POST
must not be repeated on suspicion. So a draining worker closes nothing. It answers each connection's next
request with `Connection: close`, after which the client itself opens a new one, to a worker that stays.
"""

import asyncio
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

_SWITCHING_PROTOCOLS = 101


class Draining:
    """Whether this worker is being retired, and whether a request is still being answered."""

    def __init__(self) -> None:
        self._begun = asyncio.Event()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._answering = set[web.RequestHandler]()

    @property
    def active(self) -> bool:
        """True from the moment the worker was told to stop: answer "not ready", start nothing long."""
        return self._begun.is_set()

    def begin(self) -> None:
        """Start draining; there is no way back."""
        self._begun.set()

    async def wait(self) -> None:
        """Return once draining has begun. Handlers of long-lived connections end theirs then."""
        await self._begun.wait()

    async def quiet(self) -> None:
        """Return as soon as no request is being answered."""
        await self._quiet.wait()

    def answering(self, connection: web.RequestHandler) -> None:
        """A request of this connection is being answered, until `answered`."""
        self._answering.add(connection)
        self._quiet.clear()

    def answered(self, connection: web.RequestHandler) -> None:
        """It is not any more."""
        self._answering.discard(connection)
        if not self._answering:
            self._quiet.set()

    def answers(self, connection: web.RequestHandler) -> bool:
        """Whether a request of this connection is being answered."""
        return connection in self._answering


DRAINING: Final = web.AppKey("draining", Draining)


def install(app: web.Application) -> Draining:
    """Make `app`, not yet started, follow its `DRAINING` (added if missing) and return that."""
    if DRAINING not in app:
        app[DRAINING] = Draining()
    draining = app[DRAINING]

    @web.middleware
    async def count_in_flight(request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = request.protocol
        draining.answering(connection)
        try:
            return await handler(request)
        finally:
            draining.answered(connection)

    async def ask_to_close(_: web.Request, response: web.StreamResponse) -> None:
        if draining.active and response.status != _SWITCHING_PROTOCOLS:
            response.force_close()
            # aiohttp has written this header already when the signal fires.
            response.headers[hdrs.CONNECTION] = "close"

    app.middlewares.insert(0, count_in_flight)
    app.on_response_prepare.append(ask_to_close)
    return draining
