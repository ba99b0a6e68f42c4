"""Parts of a download through the gateway."""

from collections.abc import AsyncIterator

import pytest

from lucid.gateway import proxy
from lucid.gateway.upstream.requests import Patience
from lucid.kit import app
from lucid.kit.routes import Access, Content, Nothing, Route, Stream
from tests.auth.live import Deployment, Person, person
from tests.gateway.conftest import bare_gateway, behind

UPSTREAM = "session-api"
BYTES = bytes(range(256)) * 4000
FILE: Route[Nothing, Nothing, Stream] = Route(
    UPSTREAM, "GET", "/file", Nothing, Nothing, Stream, "For this test", access=Access.PUBLIC
)
handlers = app.Handlers()


@handlers.on(FILE)
async def file(_: app.Call, __: Nothing, ___: Nothing) -> Stream:
    async def read(first: int, stop: int) -> AsyncIterator[bytes]:
        yield BYTES[first:stop]

    return Content(read, length=len(BYTES), etag="abc", filename="file.bin")


@pytest.fixture
async def someone(deployment: Deployment) -> AsyncIterator[Person]:
    """A person in front of a gateway with the file behind it."""
    gateway = bare_gateway()
    gateway.router.add_route(FILE.method, FILE.path, proxy.handler(FILE, behind(deployment), Patience()))
    async with (
        deployment.serve(app.build(UPSTREAM, handlers)),
        deployment.serve(gateway),
        person(deployment) as made,
    ):
        yield made


async def test_the_whole_says_that_there_are_parts(someone: Person) -> None:
    async with someone.ask("GET", "/file") as answer:
        assert await answer.read() == BYTES
        assert (answer.headers["Accept-Ranges"], answer.headers["ETag"]) == ("bytes", '"abc"')


@pytest.mark.parametrize("condition", [{}, {"If-Range": '"abc"'}])
async def test_a_part_comes_through(someone: Person, condition: dict[str, str]) -> None:
    async with someone.ask("GET", "/file", headers={"Range": "bytes=999999-", **condition}) as answer:
        assert answer.status == 206
        assert answer.headers["Content-Range"] == f"bytes 999999-{len(BYTES) - 1}/{len(BYTES)}"
        assert await answer.read() == BYTES[999_999:]


async def test_a_part_of_what_has_changed_is_the_whole(someone: Person) -> None:
    headers = {"Range": "bytes=10-", "If-Range": '"older"'}
    async with someone.ask("GET", "/file", headers=headers) as answer:
        assert answer.status == 200
        assert await answer.read() == BYTES


async def test_a_part_behind_the_end_is_416(someone: Person) -> None:
    async with someone.ask("GET", "/file", headers={"Range": "bytes=9999999-"}) as answer:
        assert answer.status == 416
        assert answer.headers["Content-Range"] == f"bytes */{len(BYTES)}"
        assert (await answer.json())["error"]["service"] == UPSTREAM
