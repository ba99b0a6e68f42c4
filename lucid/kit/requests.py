"""Reads what came in: parameters, body and deadline, each checked before a handler sees it."""

import re
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from lucid.kit import context
from lucid.kit.errors import Code, Invalid, LucidError
from lucid.kit.routes import NOTHING, Nothing, Route, Stream

READ_SIZE = 256 * 1024
STREAMING = web.RequestKey("streaming", bool)
"""Set once part of a streamed answer may have been sent."""


def params(request: web.Request, route: Route[Any, Any, Any]) -> Any:
    """Path and query parameters as the route's struct. Raises Invalid naming the parameter."""
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
    """The body as the route's struct, or as a bounded stream. Raises Invalid 1001-1004, 1009 or 1010."""
    if route.body is Nothing:
        return NOTHING
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


def deadline(request: web.Request) -> float | None:
    """The moment (monotonic seconds) at which the caller stops waiting, or None."""
    raw = request.headers.get(context.DEADLINE_HEADER)
    if raw is None or not raw.isdecimal() or len(raw) > 9:
        return None
    return time.monotonic() + int(raw) / 1000


def started(request: web.Request) -> bool:
    """Whether part of a streamed answer has already been sent."""
    return bool(request.get(STREAMING, False))


async def _bounded(request: web.Request, route: Route[Any, Any, Any]) -> AsyncIterator[bytes]:
    size = 0
    try:
        async for piece in request.content.iter_chunked(READ_SIZE):
            size += len(piece)
            if size > route.max_body:
                raise _too_large(route)
            yield piece
    except (aiohttp.ClientError, web.RequestPayloadError) as error:
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
