"""Passes a request on to another service and its answer back, as they are; for services that stand in front.

`ServiceClient.call` understands what it sends and receives. Here bytes go through: whatever the callee says,
errors included, is its caller's to read.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from lucid.kit import context, tls
from lucid.kit.client import MAX_ANSWER, READ_SIZE, ServiceClient, broken
from lucid.kit.errors import Code, LucidError, Unavailable
from lucid.kit.routes import Route

PASSED_BACK = (
    "Content-Type", "Content-Length", "Content-Disposition", "Content-Range", "Accept-Ranges", "ETag",
)  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """How long a callee may keep us waiting, seconds."""

    connect: float = 5.0
    read: float = 10.0
    """Longest silence: until the answer's head, then between two pieces of it."""


@dataclass(frozen=True)
class Answer:
    """What the callee said: its status, those of its headers that concern the caller, and its body."""

    service: str
    status: int
    headers: Mapping[str, str]
    _content: aiohttp.StreamReader

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises Unavailable if it breaks off or pauses for too long."""
        try:
            async for piece in self._content.iter_chunked(READ_SIZE):
                yield piece
        except (aiohttp.ClientError, TimeoutError) as error:
            raise broken(self.service, error) from error

    async def read(self) -> bytes:
        """The whole body. Raises Unavailable as `pieces`, and 5003 if it is larger than an answer may be."""
        body = bytearray()
        async for piece in self.pieces():
            body += piece
            if len(body) > MAX_ANSWER:
                raise Unavailable(f"{self.service}: answer over {MAX_ANSWER} bytes", code=Code.EXTERNAL)
        return bytes(body)


@asynccontextmanager
async def forward(
    client: ServiceClient,
    route: Route[Any, Any, Any],
    params: msgspec.Struct,
    payload: bytes | AsyncIterator[bytes] | None,
    *,
    headers: Mapping[str, str],
    limits: Limits,
    seconds: float | None,
) -> AsyncIterator[Answer]:
    """Sends one request, once, with the request id and the caller's token; yields the answer's head.

    `seconds` is the time the callee is given as a whole, None for as long as its bytes keep coming. Raises
    Unavailable 5008 or 5006, or the error with which `payload` ended.
    """
    head = {"Accept-Encoding": "identity", **headers, context.REQUEST_ID_HEADER: context.request_id.get()}
    if token := context.authorization.get():
        head["Authorization"] = token
    if seconds is not None:
        seconds = context.remaining(seconds)
        head[context.DEADLINE_HEADER] = str(int(seconds * 1000))
        if seconds <= 0:
            raise Unavailable(f"{route.service}: no time left to ask", code=Code.TIMEOUT)
    try:
        response = await client.session.request(
            route.method,
            client.url(route, params),
            data=payload,
            headers=head,
            server_hostname=tls.internal_name(route.service),
            timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=limits.connect, sock_read=limits.read),
            allow_redirects=False,
        )
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        if isinstance(error.__cause__, LucidError):
            raise error.__cause__ from None
        raise broken(route.service, error) from error
    async with response:
        passed = {name: response.headers[name] for name in PASSED_BACK if name in response.headers}
        yield Answer(route.service, response.status, passed, response.content)
