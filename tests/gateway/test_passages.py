"""Services of others behind the gateway: what passes, what does not, and websockets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from lucid.dev.servers import free_port
from lucid.gateway import profile
from lucid.gateway import service as gateway
from lucid.gateway.headers import end_to_end
from lucid.gateway.passage import clean
from lucid.kit.draining import DRAINING
from lucid.kit.errors import Invalid
from lucid.kit.settings import SettingsError
from lucid.kit.tls import internal_name
from tests.auth.live import Deployment, Person, person

PROFILE = """
upstreams:
  samples: {{urls: ["http://127.0.0.1:{port}"], read_seconds: 1}}
passages:
  - {{prefix: /api/samples, upstream: samples, access: public, websocket: true, max_body: 1000000}}
  - {{prefix: /api/private, upstream: samples, access: admin}}
  - {{prefix: /api/plain, upstream: samples, access: public}}
"""
CLIMBING = (
    "/../private", "/%2e%2e/private", "/..%2fprivate", "/.%2e/private", "/a//b", "/.", "/a%5c..", "/%00",
    "/a%0d%0ab", "/%ff",
)  # fmt: skip
AMBIGUOUS = (
    "a", "//a", "/a/../b", "/%2E%2e/b", "/a%2fb", "/a\\b", "/a%5Cb", "/%00", "/%zz", "/a%", "/a b", "/\xff",
    "/%ff", "*", "http://a/b",
)  # fmt: skip


async def anything(request: web.Request) -> web.StreamResponse:
    if request.path.endswith("/live"):
        return await echo(request)
    answer = web.json_response(
        {
            "method": request.method,
            "target": request.raw_path,
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "body": (await request.read()).decode("latin-1"),
        },
        status=201 if request.method == "POST" else 200,
    )
    answer.headers.extend({"X-Kept": "yes", "X-Dropped": "no", "Connection": "X-Dropped"})
    answer.headers.add("Set-Cookie", "a=1")
    answer.headers.add("Set-Cookie", "b=2")
    return answer


async def echo(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse(protocols=["first", "second"], max_msg_size=0)
    await socket.prepare(request)
    await socket.send_str("at once")
    async for message in socket:
        if message.data == "leave":
            break
        if isinstance(message.data, bytes):
            await socket.send_bytes(message.data)
        else:
            await socket.send_str(message.data)
    await socket.close()
    return socket


@pytest.fixture
async def front(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[web.Application]:
    """A running gateway with somebody else's service behind it."""
    port = free_port()
    file = tmp_path / "gateway.yml"
    file.write_text(PROFILE.format(port=port))
    monkeypatch.setenv("GATEWAY_PROFILE", str(file))
    behind = web.Application()
    behind.router.add_route("*", "/{any:.*}", anything)
    runner = web.AppRunner(behind, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    app = await gateway.create()
    async with deployment.serve(app):
        yield app
    await runner.cleanup()


@pytest.fixture
async def someone(front: web.Application, deployment: Deployment) -> AsyncIterator[Person]:
    """A person before it."""
    async with person(deployment) as made:
        yield made


class TestRequests:
    async def test_arrive_as_they_were_sent(self, someone: Person) -> None:
        path = "/api/samples/a%20b/c?d=e%2Ff&g"
        async with someone.ask("POST", path, data=b"body", headers={"X-Own": "1"}) as answer:
            assert answer.status == 201
            seen = await answer.json()
        assert (seen["method"], seen["target"], seen["body"]) == ("POST", path, "body")
        assert seen["headers"]["x-own"] == "1"

    @pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "POST"])
    async def test_of_any_method_get_their_answer(self, someone: Person, method: str) -> None:
        for _ in range(2):
            async with someone.ask(method, "/api/samples") as answer:
                assert answer.status in {200, 201}
                assert bool(await answer.read()) is (method != "HEAD")

    async def test_of_unknown_length_arrive_whole(self, someone: Person) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield b"x" * 100_000

        async with someone.ask("PUT", "/api/samples", data=pieces()) as answer:
            assert len((await answer.json())["body"]) == 300_000

    async def test_leave_behind_what_concerns_one_connection_or_pretends_to_be_ours(
        self, someone: Person
    ) -> None:
        sent = {
            "Connection": "keep-alive, X-Listed",
            "X-Listed": "1",
            "TE": "trailers",
            "Proxy-Authorization": "a",
            "X-Forwarded-For": "6.6.6.6",
            "X_Forwarded_For": "6.6.6.6",
            "Lucid-Client": "6.6.6.6",
            "X-Lucid-User": "root",
            "Forwarded": "for=6.6.6.6",
        }
        async with someone.ask("GET", "/api/samples", headers=sent) as answer:
            seen = (await answer.json())["headers"]
            assert answer.headers["X-Kept"] == "yes"
            assert "X-Dropped" not in answer.headers
            assert answer.headers.getall("Set-Cookie") == ["a=1", "b=2"]
        assert seen["lucid-client"] == "127.0.0.1"
        assert not {"x-listed", "te", "proxy-authorization", "x-forwarded-for", "forwarded", "x-lucid-user",
                    "x_forwarded_for", "connection"} & set(seen)  # fmt: skip

    async def test_over_the_passage_s_limit_are_1010(self, someone: Person) -> None:
        outcome = await someone.status_and_code("PUT", "/api/samples", data=b"x" * 1_000_001)
        assert outcome == "413 LUCID_ERR_1010"

    async def test_need_the_role_that_the_passage_asks_for(self, someone: Person) -> None:
        assert await someone.status_and_code("GET", "/api/private") == "401 LUCID_ERR_2001"

    async def test_beside_a_prefix_lead_nowhere(self, someone: Person) -> None:
        for path in ("/api/samplesx", "/api", "/api/sample", "/API/samples"):
            assert await someone.status_and_code("GET", path) == "404 LUCID_ERR_4001", path

    @pytest.mark.parametrize("end", CLIMBING)
    async def test_that_climb_are_refused(self, someone: Person, end: str) -> None:
        outcome = await someone.status_and_code("GET", "/api/samples" + end)
        assert outcome in {"400 LUCID_ERR_1003", "404 LUCID_ERR_4001"}


class TestWebSockets:
    @staticmethod
    @contextlib.asynccontextmanager
    async def opened(
        deployment: Deployment, someone: Person, path: str = "/api/samples/live"
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        connector = aiohttp.TCPConnector(ssl=deployment.trust())
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.ws_connect(
                someone.base + path,
                protocols=["second"],
                server_hostname=internal_name("api-gateway"),
                max_msg_size=0,
            ) as socket,
        ):
            yield socket

    async def test_carry_text_and_bytes_both_ways(self, deployment: Deployment, someone: Person) -> None:
        async with self.opened(deployment, someone) as socket:
            assert socket.protocol == "second"
            assert await socket.receive_str() == "at once"
            for number in range(200):
                await socket.send_str(f"message {number}")
            for number in range(200):
                assert await socket.receive_str() == f"message {number}"

    async def test_carry_more_than_any_buffer_holds(self, deployment: Deployment, someone: Person) -> None:
        async with self.opened(deployment, someone) as socket:
            await socket.receive_str()
            message = bytes(range(256)) * 40_000
            for _ in range(3):
                await socket.send_bytes(message)
                assert await socket.receive_bytes() == message

    async def test_outlast_the_longest_silence_of_an_answer(
        self, deployment: Deployment, someone: Person
    ) -> None:
        async with self.opened(deployment, someone) as socket:
            await socket.receive_str()
            await asyncio.sleep(1.3)
            await socket.send_str("still here")
            assert await socket.receive_str() == "still here"

    async def test_end_when_the_service_ends_them(self, deployment: Deployment, someone: Person) -> None:
        async with self.opened(deployment, someone) as socket:
            await socket.receive_str()
            await socket.send_str("leave")
            async with asyncio.timeout(10):
                message = await socket.receive()
            assert message.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}

    async def test_end_when_the_gateway_is_retired(
        self, deployment: Deployment, someone: Person, front: web.Application
    ) -> None:
        async with self.opened(deployment, someone) as socket:
            await socket.receive_str()
            front[DRAINING].begin()
            async with asyncio.timeout(10):
                message = await socket.receive()
            assert message.type is aiohttp.WSMsgType.CLOSED

    async def test_leave_nothing_behind_when_the_client_leaves(
        self, deployment: Deployment, someone: Person
    ) -> None:
        for _ in range(5):
            async with self.opened(deployment, someone) as socket:
                await socket.receive_str()
                socket._response.close()
        assert await someone.status_and_code("GET", "/api/samples") == "200"

    async def test_are_opened_only_where_the_passage_says_so(
        self, deployment: Deployment, someone: Person
    ) -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with self.opened(deployment, someone, "/api/plain/live"):
                pass
        assert refused.value.status == 400


class TestHeaders:
    def test_named_by_connection_are_dropped_whatever_their_case_and_spaces(self) -> None:
        headers = [
            ("CONNECTION", "close,  x-A"),
            ("Connection", "X-B"),
            ("X-a", "1"),
            ("x-b", "2"),
            ("X-C", "3"),
        ]
        assert end_to_end(headers) == [("X-C", "3")]

    @given(st.lists(st.tuples(st.text("aBc-_", min_size=1, max_size=6), st.text("ab, ", max_size=6))))
    def test_never_grow(self, headers: list[tuple[str, str]]) -> None:
        kept = end_to_end(headers)
        assert [header for header in headers if header in kept] == kept


class TestPaths:
    @pytest.mark.parametrize("target", ["/", "/a", "/a/b.c/", "/a%20b", "/%c3%a4", "/a?../.."])
    def test_that_everybody_reads_alike_pass(self, target: str) -> None:
        assert clean(target) == target

    @pytest.mark.parametrize("target", AMBIGUOUS)
    def test_that_they_may_not_are_refused(self, target: str) -> None:
        with pytest.raises(Invalid):
            clean(target)


class TestProfile:
    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("passages: [{prefix: /a, upstream: b, access: user}]", "`b`, which is not among the upstreams"),
            ("passages: [{prefix: a, upstream: b, access: user}]", "regex"),
            ("passages: [{prefix: /a, upstream: b, access: internal}]", "access"),
            ("passages: [{prefix: /a, upstream: b}]", "access"),
            ("upstreams: {b: {urls: []}}", "urls"),
            ("upstreams: {b: {urls: [http://a], failing: [404]}}", "failing"),
            ("upstreams: {b: {urls: [http://a], health: well}}", "health"),
            ("upstreams: {auth-service: {urls: [http://a]}}", "`auth-service` is a service of Lucid's own"),
            ("upstream: {}", "upstream"),
            ("a: [", "cannot be used"),
        ],
    )
    def test_that_makes_no_sense_is_refused_with_the_reason(
        self, tmp_path: Path, text: str, reason: str
    ) -> None:
        file = tmp_path / "gateway.yml"
        file.write_text(text)
        with pytest.raises(SettingsError, match=reason):
            profile.load(str(file))

    def test_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="GATEWAY_PROFILE"):
            profile.load(str(tmp_path / "none.yml"))
