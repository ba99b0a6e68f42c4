"""Draining as an application and its clients see it, over real connections."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestClient, TestServer

from lucid.kit.draining import DRAINING, Draining, install

pytestmark = pytest.mark.quiet

Client = TestClient[web.Request, web.Application]


async def hello(request: web.Request) -> web.Response:
    await asyncio.sleep(float(request.query.get("seconds", 0)))
    return web.Response(text="hello")


async def fail(request: web.Request) -> web.Response:
    raise web.HTTPGone


async def chat(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.send_str("hello")
    await socket.close()
    return socket


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    app = web.Application()
    app.router.add_get("/hello", hello)
    app.router.add_get("/fail", fail)
    app.router.add_get("/chat", chat)
    install(app)
    async with TestClient(TestServer(app)) as opened:
        yield opened


def draining_of(client: Client) -> Draining:
    assert client.app is not None
    return client.app[DRAINING]


class TestResponses:
    async def test_keep_their_connection_before(self, client: Client) -> None:
        async with client.get("/hello") as answer:
            assert "Connection" not in answer.headers

    @pytest.mark.parametrize(("path", "status"), [("/hello", 200), ("/fail", 410), ("/nowhere", 404)])
    async def test_ask_to_close_whatever_they_say(self, client: Client, path: str, status: int) -> None:
        draining_of(client).begin()
        async with client.get(path) as answer:
            assert (answer.status, answer.headers["Connection"]) == (status, "close")

    async def test_that_change_the_protocol_still_can(self, client: Client) -> None:
        draining_of(client).begin()
        async with client.ws_connect("/chat") as socket:
            message = await socket.receive()
            assert (message.type, message.data) == (WSMsgType.TEXT, "hello")


class TestState:
    def test_of_an_application_that_has_one_already_is_kept(self) -> None:
        app = web.Application()
        app[DRAINING] = own = Draining()
        assert install(app) is own

    async def test_begins_once_and_wakes_who_waits(self) -> None:
        draining = Draining()
        waiter = asyncio.create_task(draining.wait())
        await asyncio.sleep(0)
        assert not draining.active
        assert not waiter.done()
        draining.begin()
        await asyncio.wait_for(waiter, 1)
        assert draining.active

    async def test_is_quiet_only_when_the_last_request_was_answered(self, client: Client) -> None:
        draining = draining_of(client)
        await asyncio.wait_for(draining.quiet(), 1)
        requests = [asyncio.create_task(client.get(f"/hello?seconds={s}")) for s in (0.1, 0.4)]
        await asyncio.sleep(0.2)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(draining.quiet(), 0.05)
        await asyncio.wait_for(draining.quiet(), 2)
        for request in requests:
            (await request).release()

    async def test_counts_requests_that_fail_as_answered(self, client: Client) -> None:
        async with client.get("/fail"):
            await asyncio.wait_for(draining_of(client).quiet(), 1)
