"""WebSockets (RFC 6455), passed through: both ends shake hands with each other, then bytes go to and fro.

Frames are not looked into. What one end sends faster than the other takes it stays where it is: neither
direction is read on while what was read is not written.
"""

import asyncio
from collections.abc import Sequence
from typing import cast

from aiohttp import hdrs, web
from aiohttp.http_websocket import WebSocketReader

from lucid.gateway.flow import flow
from lucid.gateway.upstream.answers import SWITCHING
from lucid.gateway.upstream.requests import Patience, UpstreamRequest
from lucid.gateway.upstream.upstream import Answer, Upstream
from lucid.kit import requests
from lucid.kit.draining import DRAINING

PIECE = 64 * 1024
UPGRADE = ((hdrs.CONNECTION, "Upgrade"), (hdrs.UPGRADE, "websocket"))
SHAKEN = (b"sec-websocket-accept", b"sec-websocket-protocol", b"sec-websocket-extensions")


def asked(request: web.Request) -> bool:
    """Whether the request asks for a websocket."""
    return request.method == hdrs.METH_GET and request.headers.get(hdrs.UPGRADE, "").lower() == "websocket"


async def open_through(
    request: web.Request,
    upstream: Upstream,
    target: str,
    headers: Sequence[tuple[str, str]],
    patience: Patience,
) -> web.StreamResponse:
    """Asks the service for a websocket and, if it agrees, joins both ends until one of them leaves.

    Its refusal is passed on as any answer is. Raises what `Upstream.ask` raises.
    """
    answer = await upstream.ask(UpstreamRequest(hdrs.METH_GET, target, [*headers, *UPGRADE]), patience)
    try:
        if answer.head.status != SWITCHING:
            kind = answer.head.get(b"content-type") or b"application/octet-stream"
            return await flow(request, answer, {hdrs.CONTENT_TYPE: kind.decode("latin-1")})
        return await _join(request, answer)
    finally:
        answer.release()


async def _join(request: web.Request, answer: Answer) -> web.StreamResponse:
    response = web.StreamResponse(status=SWITCHING, headers=dict(UPGRADE))
    for name, value in answer.head.headers:
        if name in SHAKEN:
            response.headers.add(name.decode("ascii"), value.decode("latin-1"))
    reader, writer = _streams(answer)
    await response.prepare(request)
    request[requests.STREAMING] = True
    client = _Client(request.protocol)
    # aiohttp hands everything behind an upgrade to a parser; ours takes it as it is.
    request.protocol.set_parser(cast("WebSocketReader", client))
    directions = {
        asyncio.create_task(_to_client(reader, response)),
        asyncio.create_task(_to_service(client, writer)),
        asyncio.create_task(request.app[DRAINING].wait()),
    }
    try:
        await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for direction in directions:
            direction.cancel()
        await asyncio.gather(*directions, return_exceptions=True)
        writer.close()
    response.force_close()
    return response


def _streams(answer: Answer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    transport, surplus = answer.connection.detach()
    reader = asyncio.StreamReader(limit=PIECE)
    protocol = asyncio.StreamReaderProtocol(reader)
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    if surplus:
        reader.feed_data(surplus)
    transport.resume_reading()
    return reader, asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())


async def _to_client(reader: asyncio.StreamReader, response: web.StreamResponse) -> None:
    while piece := await reader.read(PIECE):
        await response.write(piece)


async def _to_service(client: "_Client", writer: asyncio.StreamWriter) -> None:
    while piece := await client.read():
        writer.write(piece)
        await writer.drain()


class _Client:
    """What comes from the client, as aiohttp's connection hands it over; stands where a parser would."""

    def __init__(self, connection: web.RequestHandler) -> None:
        self._connection = connection
        self._buffer = bytearray()
        self._ended = False
        self._news = asyncio.Event()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Called for all that comes."""
        self._buffer += data
        if len(self._buffer) > PIECE:
            self._connection.pause_reading()
        self._news.set()
        return False, b""

    def feed_eof(self) -> None:
        """Called at the end of the connection."""
        self._ended = True
        self._news.set()

    async def read(self) -> bytes:
        """All that has come, as soon as something has; empty at the end."""
        while not self._buffer and not self._ended:
            self._news.clear()
            await self._news.wait()
        piece = bytes(self._buffer)
        self._buffer.clear()
        self._connection.resume_reading()
        return piece
