"""Reads what came in: parameters, body and deadline, each checked before a handler sees it."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from lucid.kit.errors import Code, Invalid, LucidError, Unavailable
from lucid.kit.routes import NOTHING, Nothing, Route, Stream

READ_SIZE = 256 * 1024
SILENT_SECONDS = 10.0
"""Longest pause within a body: a caller that stalls must not hold for ever what is kept free for its body."""
BODY_SECONDS = 60.0
"""Longest time that a caller may take for a whole body, so that a trickle cannot hold it either..."""
LEAST_RATE = 32 * 1024
"""...and one second more for each so many bytes, for large bodies on slow lines."""
STREAMING = web.RequestKey("streaming", bool)
"""Set once part of a streamed answer may have been sent."""


def params(request: web.Request, route: Route[Any, Any, Any]) -> Any:
    """Path and query parameters as the route's struct. Raises Invalid naming the parameter."""
    if route.params is Nothing and not request.query_string and not request.match_info:
        return NOTHING
    values: dict[str, str] = dict(request.match_info)
    for name, value in request.query.items():
        if name in values:
            raise Invalid(f"parameter `{name}` is given twice", field=name)
        values[name] = value
    try:
        return msgspec.convert(values, route.params, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(error, "parameters") from None


async def body(request: web.Request, route: Route[Any, Any, Any]) -> Any:
    """The body as the route's struct, or as a bounded stream.

    Raises Invalid 1001-1004, 1009 or 1010, Unavailable 5006 for a body that does not come in time.
    """
    if route.body is Nothing:
        return NOTHING
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Invalid("send the body as it is, without a Content-Encoding", field="Content-Encoding")
    if request.content_length is not None and request.content_length > route.max_body:
        raise _too_large(route)
    if route.body is Stream:
        return Stream(_bounded(request, route), length=request.content_length)
    raw = bytearray()
    async for piece in _bounded(request, route):
        raw += piece
    try:
        return msgspec.json.decode(raw, type=route.body)
    except msgspec.ValidationError as error:
        raise _invalid(error, "body") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"the body is not JSON: {error}", code=Code.JSON) from None


def deadline(raw: str | None) -> float | None:
    """The moment (monotonic seconds) at which the caller stops waiting, from its header; None without one."""
    if raw is None or not raw.isdecimal() or len(raw) > 9:
        return None
    return time.monotonic() + int(raw) / 1000


async def expectation(request: web.Request) -> None:
    """Meets `Expect: 100-continue`; others are left alone, as RFC 9110, section 10.1.1 allows.

    What aiohttp does by itself answers others with 417 before any of this house's code runs.
    """
    if request.version >= (1, 1) and request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # nothing of the answer itself is out


def started(request: web.Request) -> bool:
    """Whether part of a streamed answer has already been sent."""
    return bool(request.get(STREAMING, False))


async def _bounded(request: web.Request, route: Route[Any, Any, Any]) -> AsyncIterator[bytes]:
    size, waited = 0, 0.0
    while True:
        # Only the caller's time counts, not that of whoever takes the pieces.
        begin = time.monotonic()
        piece = await _piece(request, BODY_SECONDS + size / LEAST_RATE - waited)
        waited += time.monotonic() - begin
        if not piece:
            return
        size += len(piece)
        if size > route.max_body:
            raise _too_large(route)
        yield piece


async def _piece(request: web.Request, seconds: float) -> bytes:
    try:
        async with asyncio.timeout(min(seconds, SILENT_SECONDS)):
            return await request.content.read(READ_SIZE)
    except TimeoutError:
        raise Unavailable(
            f"the body came too slowly: at most {BODY_SECONDS:g} s and one for each {LEAST_RATE // 1024} KiB,"
            f" with pauses of {SILENT_SECONDS:g} s",
            code=Code.TIMEOUT,
        ) from None
    except (aiohttp.ClientError, web.RequestPayloadError, ConnectionError) as error:
        raise Invalid(f"the body broke off: {type(error).__name__}") from None


def _too_large(route: Route[Any, Any, Any]) -> Invalid:
    return Invalid(
        f"the body may have {route.max_body} bytes at most", code=Code.TOO_LARGE, limit=route.max_body
    )


def _invalid(error: msgspec.ValidationError, where: str) -> LucidError:
    text = str(error)
    reason, _, at = text.partition(" - at `$.")
    code = next((code for pattern, code in _REASONS if pattern.match(reason)), Code.INVALID)
    return Invalid(f"{where}: {text}", code=code, **({"field": at.rstrip("`")} if at else {}))


# msgspec tells its reasons apart by their words only; matched from the start, since values may follow.
_REASONS = (
    (re.compile("Object missing required field"), Code.MISSING_FIELD),
    (re.compile(r"Expected `\w+` matching regex|Invalid (RFC3339|base64)"), Code.FORMAT),
    (
        re.compile(r"Expected `\w+` ([<>]=?|of length|that's a multiple)|(Integer|Number) .*out of range"),
        Code.OUT_OF_RANGE,
    ),
    (re.compile("Invalid UUID"), Code.UUID),
)
