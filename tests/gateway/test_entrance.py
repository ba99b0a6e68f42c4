"""What is let in at all: hosts, sockets, and pages of other origins."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from lucid.contracts.api_gateway import PREFIX
from lucid.gateway import service as gateway
from lucid.gateway.cors import Cors, cors
from lucid.gateway.entrance import host_name
from lucid.kit.errors import Invalid
from lucid.kit.settings import SettingsError
from tests.auth.live import Deployment, Person, person

INFO = PREFIX + "/meta/info"
PAGE = "https://lucid.example"
NAME = "gateway.example"
ELSEWHERE = "192.0.2.7"


@pytest.fixture
async def someone(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Person]:
    """A person before a gateway that has names, and pages that may use it."""
    monkeypatch.setenv("ALLOWED_HOSTS", f"{NAME}, 127.0.0.1, ::1")
    monkeypatch.setenv("CORS_ORIGINS", PAGE)
    monkeypatch.setenv("CORS_CREDENTIALS", "true")
    async with deployment.serve(await gateway.create()), person(deployment) as made:
        yield made


class TestHosts:
    @pytest.mark.parametrize(
        "host", [NAME, NAME.upper(), NAME + ".", NAME + ":8081", "127.0.0.1:1", "[::1]:8081"]
    )
    async def test_of_our_own_are_served(self, someone: Person, host: str) -> None:
        assert await someone.status_and_code("GET", INFO, headers={"Host": host}) == "200"

    @pytest.mark.parametrize(
        "host", ["evil.example", "x" + NAME, NAME + ".evil.example", "127.0.0.2", "localhost"]
    )
    async def test_of_others_are_refused(self, someone: Person, host: str) -> None:
        assert await someone.status_and_code("GET", INFO, headers={"Host": host}) == "400 LUCID_ERR_1001"

    @pytest.mark.parametrize(
        "host", ["", "a b", "a/b", "a@b", "a:b", "a:123456", "[::1", "::1", "ä.example", "..", "a,b"]
    )
    def test_that_are_none_are_refused(self, host: str) -> None:
        with pytest.raises(Invalid):
            host_name(host)


class TestThePlainSocket:
    @asynccontextmanager
    async def seen_from(self, deployment: Deployment, address: str) -> AsyncIterator[Person]:
        """The plain socket, as somebody at `address` meets it."""
        app = await gateway.create()

        @web.middleware
        async def moved(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await handler(request.clone(remote=address))

        app.middlewares.insert(1, moved)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        port = deployment.ports["api-gateway"]
        await web.TCPSite(runner, "127.0.0.1", port).start()
        async with aiohttp.ClientSession() as session:
            yield Person(session, f"http://127.0.0.1:{port}")
        await runner.cleanup()

    async def test_serves_this_machine(self, deployment: Deployment) -> None:
        async with self.seen_from(deployment, "127.0.0.1") as operator:
            assert await operator.status_and_code("GET", INFO) == "200"
            assert await operator.status_and_code("GET", "/metrics") == "200"

    async def test_sends_everybody_else_to_tls(self, deployment: Deployment) -> None:
        async with self.seen_from(deployment, ELSEWHERE) as stranger:
            for path in (INFO + "?a=b", "/metrics", "/nothing"):
                async with stranger.ask(
                    "POST", path, headers={"Host": NAME + ":8080"}, allow_redirects=False
                ) as answer:
                    assert answer.status == 308
                    assert answer.headers["Location"] == f"https://{NAME}:8081{path}"


class TestPagesOfOtherOrigins:
    async def test_that_are_named_may_read_answers_failures_included(self, someone: Person) -> None:
        for path, status in ((INFO, 200), (PREFIX + "/users/me", 401), ("/nothing", 404)):
            async with someone.ask("GET", path, headers={"Origin": PAGE}) as answer:
                assert answer.status == status
                assert answer.headers["Access-Control-Allow-Origin"] == PAGE
                assert answer.headers["Access-Control-Allow-Credentials"] == "true"
                assert answer.headers["Vary"] == "Origin"

    async def test_that_are_not_named_may_not(self, someone: Person) -> None:
        for origin in (
            "https://evil.example",
            "null",
            "https://lucid.example.evil.example",
            "http://lucid.example",
        ):
            async with someone.ask("GET", INFO, headers={"Origin": origin}) as answer:
                assert "Access-Control-Allow-Origin" not in answer.headers
                assert answer.headers["Vary"] == "Origin"

    async def test_are_told_beforehand_what_they_may_send(self, someone: Person) -> None:
        asked = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
        async with someone.ask("OPTIONS", PREFIX + "/auth/login", headers=asked) as answer:
            assert answer.status == 204
            assert answer.headers["Access-Control-Allow-Origin"] == PAGE
            assert answer.headers["Access-Control-Allow-Methods"] == "POST"
            assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]

    async def test_are_told_nothing_of_what_is_not_there_or_not_theirs(self, someone: Person) -> None:
        for path, origin, outcome in (
            ("/nothing", PAGE, "404 LUCID_ERR_4001"),
            (PREFIX + "/auth/login", "https://evil.example", "405 LUCID_ERR_4003"),
        ):
            asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            assert await someone.status_and_code("OPTIONS", path, headers=asked) == outcome


class TestTheRule:
    def test_never_lets_any_origin_in_with_credentials(self) -> None:
        for origins, credentials in (("*", True), ("*, https://a.example", False)):
            with pytest.raises(SettingsError, match="never together"):
                cors(origins, credentials=credentials)
        assert "Access-Control-Allow-Credentials" not in cors("*", credentials=False).headers(
            "https://a.example"
        )

    @pytest.mark.parametrize(
        "origin", ["lucid.example", "https://a/", "https://a/path", "ftp://a", "https://"]
    )
    def test_takes_origins_only(self, origin: str) -> None:
        with pytest.raises(SettingsError, match="CORS_ORIGINS"):
            cors(origin, credentials=False)

    def test_says_nothing_where_no_origin_is_named(self) -> None:
        assert Cors(frozenset()).headers(PAGE) == {}
