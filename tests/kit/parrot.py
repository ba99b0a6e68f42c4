"""A service for tests, in the place of session-storage: its routes show what the kit does with a request."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

import msgspec
from aiohttp import web
from msgspec import Meta

from lucid.kit import app, context
from lucid.kit.errors import Code, Conflict, Unavailable
from lucid.kit.routes import Access, Nothing, Route, Stream

SERVICE = "session-storage"
CALLER = "session-api"
"""One that the catalogue lets call it."""
OTHER_CALLER = "chunk-processor"
"""Another one."""
STRANGER = "auth-service"
"""One that it does not."""
MIB = 1024 * 1024


class Words(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters."""

    word: Annotated[str, Meta(pattern="^[^0-9]+$")]
    times: Annotated[int, Meta(ge=1, le=3)] = 1


class Note(msgspec.Struct, forbid_unknown_fields=True):
    """A body."""

    text: Annotated[str, Meta(max_length=10)]
    id: UUID | None = None


class Text(msgspec.Struct):
    """An answer."""

    text: str


class Size(msgspec.Struct):
    """How much came, and in how large pieces at most."""

    size: int
    largest: int


class Seen(msgspec.Struct):
    """What a handler knows about its request."""

    peer: str | None
    request_id: str
    left: float | None
    authorization: str | None


def route(method: str, path: str, params: Any = Nothing, body: Any = Nothing, response: Any = Text) -> Any:
    return Route(
        SERVICE, method, path, params, body, response, "For a test", media="video/mp4", max_body=4 * MIB
    )


REPEAT = route("GET", "/repeat/{word}", Words)
NOTE = route("POST", "/notes", body=Note)
SILENT = route("DELETE", "/notes", response=Nothing)
UPLOAD = route("PUT", "/upload", body=Stream, response=Size)
DOWNLOAD = route("GET", "/download", response=Stream)
BROKEN = route("GET", "/broken", response=Stream)
EARLY = route("GET", "/early", response=Stream)
SHORT = route("GET", "/short", response=Stream)
CRASH = route("GET", "/crash")
SLOW = route("GET", "/slow")
REFUSE = route("POST", "/refuse")
DOWN = route("GET", "/down")
DOWN_ONCE = route("POST", "/down")
SEEN = route("GET", "/seen", response=Seen)
MINE = Route(SERVICE, "GET", "/mine", Nothing, Nothing, Text, "For a person", access=Access.NODE_OPERATOR)

CHOSEN = Route(SERVICE, "GET", "/chosen", Nothing, Nothing, Text, "For one caller", callers=("session-api",))

COUNTS = web.AppKey("counts", dict)
"""How often a handler was asked, by its path."""
handlers = app.Handlers()


def build() -> web.Application:
    """The service."""
    made = app.build(SERVICE, handlers)
    made[COUNTS] = {}
    return made


@handlers.on(REPEAT)
async def repeat(_: app.Call, params: Words, __: Nothing) -> Text:
    return Text(params.word * params.times)


@handlers.on(NOTE)
async def note(_: app.Call, __: Nothing, body: Note) -> Text:
    return Text(body.text)


@handlers.on(CHOSEN)
async def chosen(_: app.Call, __: Nothing, ___: Nothing) -> Text:
    return Text("you")


@handlers.on(SILENT)
async def silent(_: app.Call, __: Nothing, ___: Nothing) -> Nothing:
    return Nothing()


@handlers.on(UPLOAD)
async def upload(_: app.Call, __: Nothing, body: Stream) -> Size:
    sizes = [len(piece) async for piece in body.chunks]
    return Size(sum(sizes), max(sizes))


@handlers.on(DOWNLOAD)
async def download(_: app.Call, __: Nothing, ___: Nothing) -> Stream:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(16):
            yield bytes([number]) * MIB

    return Stream(pieces(), length=16 * MIB, filename="all.mp4")


async def _then(*pieces: bytes, error: Exception | None = None) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    if error is not None:
        raise error


@handlers.on(BROKEN)
async def broken(_: app.Call, __: Nothing, ___: Nothing) -> Stream:
    return Stream(_then(b"first", error=Conflict("the rest is gone")))


@handlers.on(EARLY)
async def early(_: app.Call, __: Nothing, ___: Nothing) -> Stream:
    return Stream(_then(error=Conflict("there is nothing")))


@handlers.on(SHORT)
async def short(_: app.Call, __: Nothing, ___: Nothing) -> Stream:
    return Stream(_then(b"12345"), length=10)


@handlers.on(CRASH)
async def crash(_: app.Call, __: Nothing, ___: Nothing) -> Text:
    raise RuntimeError("the combination is 1-2-3")


@handlers.on(SLOW)
async def slow(_: app.Call, __: Nothing, ___: Nothing) -> Text:
    await asyncio.sleep(20)
    return Text("too late")


@handlers.on(REFUSE)
async def refuse(_: app.Call, __: Nothing, ___: Nothing) -> Text:
    error = Conflict("not while it is stopped", code=Code.SESSION_STATE)
    error.details = {"state": "stopped", "code": 1, "message": "a detail", "event": "another"}
    raise error


def _down(call: app.Call) -> Text:
    counts = call.app[COUNTS]
    counts[call.request.method] = counts.get(call.request.method, 0) + 1
    error = Unavailable("the disk is away")
    error.details = {"code": 1, "event": "details have any names"}
    raise error


@handlers.on(DOWN)
async def down(call: app.Call, _: Nothing, __: Nothing) -> Text:
    return _down(call)


@handlers.on(DOWN_ONCE)
async def down_once(call: app.Call, _: Nothing, __: Nothing) -> Text:
    return _down(call)


@handlers.on(SEEN)
async def seen(call: app.Call, _: Nothing, __: Nothing) -> Seen:
    left = None if context.deadline.get() is None else context.remaining(3600.0)
    return Seen(call.peer, context.request_id.get(), left, context.authorization.get())


@handlers.on(MINE)
async def mine(call: app.Call, _: Nothing, __: Nothing) -> Text:
    return Text(call.user.sub)
