"""What goes through the gateway and what does not: a real client, a real service, TLS between them."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from lucid.gateway import proxy
from lucid.gateway.upstream.requests import Patience
from lucid.kit import app
from lucid.kit.errors import Code, Conflict
from lucid.kit.routes import Access, Nothing, Route, Stream
from tests.auth.live import Deployment, Person, person
from tests.gateway.conftest import bare_gateway, behind

UPSTREAM = "session-api"
READ_SECONDS = 0.6


class Words(msgspec.Struct, forbid_unknown_fields=True):
    """A parameter and a query."""

    word: str
    times: int = 1


class Note(msgspec.Struct):
    """A small body."""

    text: str


def route(method: str, path: str, params: Any = Nothing, body: Any = Nothing, response: Any = Note) -> Any:
    return Route(
        UPSTREAM,
        method,
        path,
        params,
        body,
        response,
        "For this test",
        access=Access.PUBLIC,
        media="video/mp4",
        max_body=100_000,
    )


REPEAT = route("GET", "/repeat/{word}", Words)
NOTE = route("POST", "/note", body=Note)
MIRROR = route("PUT", "/mirror", body=Stream, response=Stream)
SLOW = route("GET", "/slow", response=Stream)
BROKEN = route("GET", "/broken", response=Stream)
SILENT = route("GET", "/silent")
PATIENT = dataclasses.replace(SILENT, path="/patient", seconds=READ_SECONDS * 8)
IMPATIENT = dataclasses.replace(SILENT, path="/impatient", seconds=READ_SECONDS * 1.2)
REFUSED = route("POST", "/refused", body=Note)
HEADERS = route("POST", "/headers", body=Note)
ROUTES = (REPEAT, NOTE, MIRROR, SLOW, BROKEN, SILENT, PATIENT, IMPATIENT, REFUSED, HEADERS)

handlers = app.Handlers()


@handlers.on(REPEAT)
async def repeat(_: app.Call, params: Words, __: Nothing) -> Note:
    return Note(params.word * params.times)


@handlers.on(NOTE)
async def note(_: app.Call, __: Nothing, body: Note) -> Note:
    return body


@handlers.on(MIRROR)
async def mirror(_: app.Call, __: Nothing, body: Stream) -> Stream:
    return Stream(body.chunks, length=body.length, filename="mirror.mp4")


@handlers.on(SLOW)
async def slow(_: app.Call, __: Nothing, ___: Nothing) -> Stream:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b"piece"
            await asyncio.sleep(READ_SECONDS * 0.5)

    return Stream(pieces())


@handlers.on(BROKEN)
async def broken(_: app.Call, __: Nothing, ___: Nothing) -> Stream:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        raise Conflict("the rest is gone")

    return Stream(pieces())


@handlers.on(SILENT)
@handlers.on(PATIENT)
@handlers.on(IMPATIENT)
async def silent(_: app.Call, __: Nothing, ___: Nothing) -> Note:
    await asyncio.sleep(READ_SECONDS * 2)
    return Note("too late")


@handlers.on(REFUSED)
async def refused(_: app.Call, __: Nothing, ___: Note) -> Note:
    raise Conflict("not in this state", code=Code.SESSION_STATE, state="stopped")


async def headers_as_received(request: web.Request) -> web.Response:
    answer = web.json_response(dict(request.headers))
    answer.headers.update({"Set-Cookie": "a=b", "X-Internal": "yes", "Connection": "X-Internal"})
    return answer


@pytest.fixture
async def someone(deployment: Deployment) -> AsyncIterator[Person]:
    """A person in front of a gateway with these routes and their service behind it."""
    bare = app.Handlers()
    bare.bound = [bound for bound in handlers.bound if bound[0] is not HEADERS]
    upstream = app.build(UPSTREAM, bare)
    upstream.router.add_post(HEADERS.path, headers_as_received)
    gateway = bare_gateway()
    service, patience = behind(deployment), Patience(1.0, READ_SECONDS)
    for each in ROUTES:
        gateway.router.add_route(each.method, each.path, proxy.handler(each, service, patience))
    async with deployment.serve(upstream), deployment.serve(gateway), person(deployment) as made:
        yield made


class TestRequests:
    async def test_path_and_query_arrive(self, someone: Person) -> None:
        async with someone.ask("GET", "/repeat/ab?times=3") as answer:
            assert await answer.json() == {"text": "ababab"}

    @pytest.mark.parametrize("query", ["?times=many", "?unknown=1", "?times=1&times=2", "?word=other"])
    async def test_parameters_that_the_contract_does_not_know_are_refused(
        self, someone: Person, query: str
    ) -> None:
        assert (await someone.status_and_code("GET", "/repeat/ab" + query)).startswith("400 LUCID_ERR_100")

    @pytest.mark.parametrize("path", ["/repeat/..", "/repeat/%2e%2e", "/repeat/..%2fsilent", "/repeat/%2e"])
    async def test_a_path_cannot_climb_to_another_operation(self, someone: Person, path: str) -> None:
        begin = asyncio.get_running_loop().time()
        outcome = await someone.status_and_code("GET", path)
        assert outcome.startswith(("400", "404")), outcome
        assert asyncio.get_running_loop().time() - begin < READ_SECONDS

    async def test_a_small_body_arrives(self, someone: Person) -> None:
        async with someone.ask("POST", "/note", json={"text": "hello"}) as answer:
            assert await answer.json() == {"text": "hello"}

    @pytest.mark.parametrize("path", ["/note", "/mirror"])
    @pytest.mark.parametrize("declared", [True, False])
    async def test_a_body_over_the_route_s_limit_is_1010(
        self, someone: Person, path: str, declared: bool
    ) -> None:
        async def undeclared() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield b"x" * 40_000

        method = "POST" if path == "/note" else "PUT"
        data = b"x" * 120_000 if declared else undeclared()
        assert await someone.status_and_code(method, path, data=data) == "413 LUCID_ERR_1010"

    async def test_only_named_headers_reach_the_service(self, someone: Person) -> None:
        sent = {
            "Authorization": "Bearer abc",
            "X-Request-ID": "request-12345",
            "Lucid-Deadline-Ms": "400",
            "Cookie": "a=b",
            "X-Forwarded-For": "10.0.0.1",
            "TE": "trailers",
            "Content-Type": "application/json",
        }
        async with someone.ask("POST", "/headers", data=b'{"text":""}', headers=sent) as answer:
            received = await answer.json()
        assert 0 < int(received.pop("Lucid-Deadline-Ms")) <= 400
        assert received.pop("Host").startswith("127.0.0.1:")
        assert received == {
            "Authorization": "Bearer abc",
            "X-Request-ID": "request-12345",
            "Content-Type": "application/json",
            "Content-Length": "11",
            "Accept-Encoding": "identity",
            "Lucid-Client": "127.0.0.1",
        }


class TestAnswers:
    async def test_a_refusal_of_the_service_arrives_as_it_is(self, someone: Person) -> None:
        async with someone.ask("POST", "/refused", json={"text": ""}) as answer:
            error = (await answer.json())["error"]
            assert answer.status == 409
            assert answer.headers["X-Request-ID"] == error["request_id"]
        assert (error["code"], error["service"]) == ("LUCID_ERR_4007", UPSTREAM)
        assert error["details"] == {"state": "stopped"}

    async def test_only_named_headers_reach_the_person(self, someone: Person) -> None:
        async with someone.ask("POST", "/headers", json={"text": ""}) as answer:
            names = set(answer.headers)
        assert names <= {"Content-Type", "Content-Length", "X-Request-ID", "Date", "Server"}

    async def test_an_answer_that_does_not_come_is_5006(self, someone: Person) -> None:
        assert await someone.status_and_code("GET", "/silent") == "504 LUCID_ERR_5006"

    async def test_an_answer_may_take_as_long_as_its_contract_says(self, someone: Person) -> None:
        assert await someone.status_and_code("GET", "/patient") == "200"
        assert await someone.status_and_code("GET", "/impatient") == "504 LUCID_ERR_5006"


class TestStreams:
    @pytest.mark.parametrize("declared", [True, False])
    async def test_flow_both_ways_with_length_type_and_name(self, someone: Person, declared: bool) -> None:
        content = bytes(range(256)) * 390

        async def undeclared() -> AsyncIterator[bytes]:
            yield content[:50_000]
            yield content[50_000:]

        data = content if declared else undeclared()
        async with someone.ask("PUT", "/mirror", data=data) as answer:
            assert await answer.read() == content
            assert answer.content_length == (len(content) if declared else None)
            assert answer.content_type == "video/mp4"
            assert answer.headers["Content-Disposition"] == 'attachment; filename="mirror.mp4"'
            assert answer.headers["X-Request-ID"]

    async def test_last_as_long_as_their_pieces_come(self, someone: Person) -> None:
        begin = asyncio.get_running_loop().time()
        async with someone.ask("GET", "/slow") as answer:
            assert await answer.read() == b"piece" * 4
        assert asyncio.get_running_loop().time() - begin > READ_SECONDS * 1.5

    async def test_that_break_off_behind_the_gateway_break_off_before_it(self, someone: Person) -> None:
        async with someone.ask("GET", "/broken") as answer:
            assert answer.status == 200
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()

    async def test_the_gateway_serves_on_after_a_client_has_left_in_the_middle(self, someone: Person) -> None:
        async with someone.ask("GET", "/slow") as answer:
            await answer.content.readany()
            answer.close()
        assert await someone.status_and_code("GET", "/repeat/ab") == "200"
