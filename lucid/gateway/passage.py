"""Passes requests for a service of others through as they are, but for what concerns one connection only."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import unquote

from aiohttp import hdrs, web
from multidict import CIMultiDict

from lucid.gateway import websocket
from lucid.gateway.admission import admit, ask
from lucid.gateway.flow import flow
from lucid.gateway.headers import client_key, end_to_end, outgoing
from lucid.gateway.limits import gate
from lucid.gateway.profile import Passage
from lucid.gateway.upstream.requests import Patience, UpstreamRequest
from lucid.gateway.upstream.upstream import Upstream
from lucid.kit import requests
from lucid.kit.errors import Code, Invalid
from lucid.kit.routes import Nothing, Route, Stream

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_PATH = re.compile(r"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)+")


def handler(
    passage: Passage, upstream: Upstream, patience: Patience
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The aiohttp handler for all below the passage's prefix."""
    # People are admitted and bodies read as with any route.
    route = Route(
        upstream.name, "*", passage.prefix, Nothing, Stream, Stream, "Passed through",
        access=passage.audience, max_body=passage.max_body,
    )  # fmt: skip

    async def passing(request: web.Request) -> web.StreamResponse:
        claims = await admit(request, route)
        target = clean(request.raw_path)
        headers = [*outgoing(request), *end_to_end(request.headers.items())]
        if websocket.asked(request):
            if not passage.websocket:
                raise Invalid("this path speaks no websocket")
            return await websocket.open_through(request, upstream, target, headers, patience)
        body: AsyncIterator[bytes] | None = None
        if request.can_read_body:
            pieces = (await requests.body(request, route)).chunks
            body = gate.received(request, pieces, client_key(request), claims)
        idempotent = request.method in IDEMPOTENT
        asked = UpstreamRequest(request.method, target, headers, body, request.content_length, idempotent)
        answer = await ask(request, upstream, asked, patience)
        try:
            head = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.head.headers)
            passed = CIMultiDict(end_to_end(head))
            if (length := answer.head.get(b"content-length")) is not None:
                passed[hdrs.CONTENT_LENGTH] = length.decode("ascii")
            return await flow(request, answer, passed)
        finally:
            answer.release()

    return passing


def clean(target: str) -> str:
    """`target`, if every server reads the same path out of it. Raises Invalid 1003.

    Dots that climb, encoded slashes and the like are read in one way here and in another there, and would
    lead out of what the prefix allows.
    """
    path = target.partition("?")[0]
    decoded = unquote(path, errors="replace")
    climbs = {".", ".."} & set(decoded.split("/"))
    if not _PATH.fullmatch(path) or climbs or "//" in path or decoded.count("/") != path.count("/"):
        raise Invalid("the path can be read in more than one way", code=Code.FORMAT)
    if any(character < " " or character in "\\\x7f�" for character in decoded):
        raise Invalid("the path holds characters that no path needs", code=Code.FORMAT)
    return target
