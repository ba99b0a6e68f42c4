"""Answers that are passed on while they come, at the pace of whoever takes them."""

import asyncio
from collections.abc import Mapping

from aiohttp import web

from lucid.gateway.upstream.upstream import Answer
from lucid.kit import context, requests
from lucid.kit.errors import Code, Unavailable

TAKING_SECONDS = 60.0
"""How long a client may take nothing of an answer before its connection is ended."""


async def flow(request: web.Request, answer: Answer, headers: Mapping[str, str]) -> web.StreamResponse:
    """Passes `answer` on. Whatever breaks it off here is raised, and breaks the client's connection too."""
    response = web.StreamResponse(status=answer.head.status, headers=headers)
    response.headers[context.REQUEST_ID_HEADER] = context.request_id.get()
    await response.prepare(request)
    request[requests.STREAMING] = True
    async for piece in answer.pieces():
        try:
            async with asyncio.timeout(TAKING_SECONDS):
                await response.write(piece)
        except TimeoutError:
            raise Unavailable(
                f"the client took nothing for {TAKING_SECONDS:g} s", code=Code.TIMEOUT
            ) from None
    await response.write_eof()
    return response
