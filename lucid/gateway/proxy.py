"""Takes one operation's requests in, checks who asks and for what, and passes them to its service.

Only what the contract knows goes through: path and query are written anew from the checked parameters, and of
the headers in either direction only a few named ones are taken over, so none that concern one connection.
Small bodies are collected first, in both directions: a slow client then holds nothing behind the gateway, and
for a service that fails in mid-answer there is still a status to answer with. Streams flow.
"""

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web
from multidict import istr

from lucid.gateway.admission import admit, ask
from lucid.gateway.flow import flow
from lucid.gateway.headers import client_key, outgoing
from lucid.gateway.limits import gate
from lucid.gateway.upstream.answers import Head
from lucid.gateway.upstream.requests import Patience, UpstreamRequest
from lucid.gateway.upstream.upstream import Upstream
from lucid.kit import context, requests
from lucid.kit.client import target
from lucid.kit.errors import Code, Unavailable
from lucid.kit.routes import Nothing, Route, Stream

PARTS = ("Range", "If-Range")
"""The headers that ask for a part of a stream (RFC 9110, section 14)."""
PARTIAL = 206
PASSED_BACK = {
    name.lower().encode(): istr(name)
    for name in (
        "Content-Type", "Content-Length", "Content-Disposition", "Content-Range", "Accept-Ranges", "ETag",
        "Retry-After",
    )
}  # fmt: skip


def handler(
    route: Route[Any, Any, Any], upstream: Upstream, patience: Patience
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The aiohttp handler that stands for `route`."""
    # A body of any kind is read as a stream here, which checks its size; its service checks what it says.
    body_as_stream = dataclasses.replace(route, body=Stream)
    flows = Stream in {route.body, route.response}
    asks_for_parts = route.response is Stream
    patience = Patience(patience.connect, max(patience.read, route.seconds or 0.0))

    async def proxy(request: web.Request) -> web.StreamResponse:
        claims = await admit(request, route)
        params = requests.params(request, route)
        headers = outgoing(request)
        if asks_for_parts:
            headers += [(name, request.headers[name]) for name in PARTS if name in request.headers]
        body: bytes | AsyncIterator[bytes] | None = None
        length = None
        if route.body is not Nothing:
            headers.append(("Content-Type", request.headers.get("Content-Type", "application/octet-stream")))
            pieces: AsyncIterator[bytes] = (await requests.body(request, body_as_stream)).chunks
            if route.body is Stream:
                body = gate.received(request, pieces, client_key(request), claims)
                length = request.content_length
            else:
                body = b"".join([piece async for piece in pieces])
        allowed = patience
        if not flows:
            # After the body was collected: how fast that came was the client's affair.
            allowed = Patience(patience.connect, patience.read, left(route.service, patience.read))
            headers.append((context.DEADLINE_HEADER, str(int((allowed.total or 0) * 1000))))
        asked = UpstreamRequest(route.method, target(route, params), headers, body, length, route.idempotent)
        answer = await ask(request, upstream, asked, allowed)
        try:
            passed = passed_back(answer.head)
            if asks_for_parts and answer.head.status in {route.status, PARTIAL}:
                return await flow(request, answer, passed)
            return web.Response(body=await answer.read(), status=answer.head.status, headers=passed)
        finally:
            answer.release()

    return proxy


def left(service: str, seconds: float) -> float:
    """What is left of the time that the caller gave, at most `seconds`. Raises Unavailable 5006 for none."""
    remaining = context.remaining(seconds)
    if remaining <= 0:
        raise Unavailable(f"{service}: no time left to ask", code=Code.TIMEOUT, service=service)
    return remaining


def passed_back(head: Head) -> dict[str, str]:
    """Those of an answer's headers that concern the caller."""
    return {PASSED_BACK[name]: value.decode("latin-1") for name, value in head.headers if name in PASSED_BACK}
