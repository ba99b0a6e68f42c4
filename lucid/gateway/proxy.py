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
from prometheus_client import Counter

from lucid.kit import context, requests
from lucid.kit.app import authorise
from lucid.kit.client import CLIENT
from lucid.kit.errors import LucidError
from lucid.kit.forward import Answer, Limits, forward
from lucid.kit.routes import Access, Nothing, Route, Stream

validations_total = Counter(
    "lucid_auth_token_validations_total", "Access tokens checked, by what was found.", ["outcome"]
)

PARTS = ("Range", "If-Range")
"""The headers that ask for a part of a stream (RFC 9110, section 14)."""
PARTIAL = 206


def handler(
    route: Route[Any, Any, Any], limits: Limits
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The aiohttp handler that stands for `route`."""
    # A body of any kind is read as a stream here, which checks its size; its service checks what it says.
    body_as_stream = dataclasses.replace(route, body=Stream)

    async def proxy(request: web.Request) -> web.StreamResponse:
        await _admit(request, route.access)
        params = requests.params(request, route)
        payload: bytes | AsyncIterator[bytes] | None = None
        headers = {}
        if route.response is Stream:
            headers = {name: request.headers[name] for name in PARTS if name in request.headers}
        if route.body is not Nothing:
            headers["Content-Type"] = request.headers.get("Content-Type", "application/octet-stream")
            pieces: AsyncIterator[bytes] = (await requests.body(request, body_as_stream)).chunks
            if route.body is Stream:
                payload = pieces
                if request.content_length is not None:
                    headers["Content-Length"] = str(request.content_length)
            else:
                payload = b"".join([piece async for piece in pieces])
        flows = Stream in {route.body, route.response}
        async with forward(
            request.app[CLIENT],
            route,
            params,
            payload,
            headers=headers,
            limits=limits,
            seconds=None if flows else limits.read,
        ) as answer:
            if route.response is Stream and answer.status in {route.status, PARTIAL}:
                return await _flow(request, answer)
            body = await answer.read()
            return web.Response(body=body, status=answer.status, headers=answer.headers)

    return proxy


async def _admit(request: web.Request, access: Access) -> None:
    if access is Access.PUBLIC:
        return
    outcome = "failed"
    try:
        await authorise(request, access)
        outcome = "valid"
    except LucidError as error:
        outcome = error.code.name.lower()
        raise
    finally:
        validations_total.labels(outcome).inc()


async def _flow(request: web.Request, answer: Answer) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.headers[context.REQUEST_ID_HEADER] = context.request_id.get()
    await response.prepare(request)
    request[requests.STREAMING] = True
    async for piece in answer.pieces():
        await response.write(piece)
    await response.write_eof()
    return response
