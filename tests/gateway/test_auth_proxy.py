"""auth-proxy: asked directly, by a real nginx and by a real Envoy, before a real auth-service."""

import secrets
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from lucid.auth import service as auth
from lucid.auth.tokens import Signer
from lucid.contracts import auth_service
from lucid.dev.processes import Processes
from lucid.gateway import auth_proxy
from lucid.kit.routes import Access
from lucid.kit.settings import SettingsError
from tests.auth.desk import Desk
from tests.auth.live import TOKEN_KEY, Deployment
from tests.gateway.conftest import limited
from tests.gateway.reverse_proxies import Started, start_envoy, start_nginx
from tests.gateway.running_plain import serve_plain
from tests.sessions.waiting import until

PUBLIC_BURST = 5
USER_BURST = 7
SIGNER = Signer(TOKEN_KEY)


def token(role: str = "user", user: str | None = None) -> str:
    return SIGNER.mint(user or str(uuid.uuid4()), role, int(time.time()), str(uuid.uuid4()))


def stranger() -> str:
    """An address that no other test has asked from."""
    return str(IPv4Address(secrets.randbits(24) | 10 << 24))


class Asker:
    """Somebody who asks at one base URL, over plain HTTP."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session = session
        self._base = f"http://127.0.0.1:{port}"

    async def ask(
        self, path: str, bearer: str | None = None, method: str = "GET", **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        """Status, headers in lower case, and the JSON of the answer, if it is any."""
        head = {name.replace("_", "-"): value for name, value in headers.items()}
        if bearer:
            head["Authorization"] = f"Bearer {bearer}"
        url = URL(self._base + path, encoded=True)
        async with self._session.request(method, url, headers=head) as answer:
            is_json = answer.content_type == "application/json" and method != "HEAD"
            body = await answer.json() if is_json else None
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}, body

    async def code(self, path: str, bearer: str | None = None, **more: str) -> str:
        """The answer's status and error code."""
        status, _, body = await self.ask(path, bearer, **more)
        return f"{status} {body['error']['code']}" if status >= 400 else str(status)

    async def listening(self) -> bool:
        """Whether there is anybody to ask."""
        try:
            await self.ask("/")
        except aiohttp.ClientConnectionError:
            return False
        return True


@pytest.fixture
def deployment(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """With limits."""
    return limited(deployment, monkeypatch)


@pytest.fixture
async def site(
    deployment: Deployment, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Deployment, int]]:
    """A deployment with auth-service and auth-proxy; the port of the latter."""
    for name, value in {
        "REDIS_URL": redis_url,
        "RATE_LIMIT_PUBLIC_REQ_PER_MIN": "0",
        "RATE_LIMIT_PUBLIC_BURST": str(PUBLIC_BURST),
        "RATE_LIMIT_AUTH_REQ_PER_MIN": "60",
        "RATE_LIMIT_AUTH_BURST": str(USER_BURST),
        "RATE_LIMIT_REDIS_SECONDS": "2",
    }.items():
        monkeypatch.setenv(name, value)
    async with (
        deployment.serve(await auth.create()),
        serve_plain(await auth_proxy.create()) as port,
    ):
        yield deployment, port


@pytest.fixture
async def asker(site: tuple[Deployment, int]) -> AsyncIterator[Asker]:
    """A proxy's part, played by the test."""
    async with aiohttp.ClientSession() as session:
        yield Asker(session, site[1])


class TestWhoMayPass:
    async def test_somebody_with_a_token_and_whose_it_is(self, asker: Asker) -> None:
        user = str(uuid.uuid4())
        status, headers, _ = await asker.ask("/check/user", token("admin", user), X_Forwarded_For=stranger())
        assert (status, headers["x-lucid-user"], headers["x-lucid-role"]) == (200, user, "admin")
        assert len(headers["x-lucid-session"]) == 36

    async def test_is_asked_with_any_method_and_any_path_behind_the_role(self, asker: Asker) -> None:
        for method in auth_proxy.METHODS:
            for path in ("/check", "/check/user", "/check/user/api/v1/sessions?limit=5"):
                status, _, _ = await asker.ask(path, token(), method, X_Forwarded_For=stranger())
                assert status == 200, (method, path)

    async def test_is_2001_without_a_token_and_2003_with_nonsense(self, asker: Asker) -> None:
        assert await asker.code("/check/user", X_Forwarded_For=stranger()) == "401 LUCID_ERR_2001"
        assert await asker.code("/check/user", "nonsense", X_Forwarded_For=stranger()) == "401 LUCID_ERR_2003"

    async def test_is_2004_below_the_role(self, asker: Asker) -> None:
        address = stranger()
        for role in ("user", "node_operator"):
            outcome = await asker.code("/check/admin", token(role), X_Forwarded_For=address)
            assert outcome == "403 LUCID_ERR_2004"
        assert await asker.code("/check/admin", token("super_admin"), X_Forwarded_For=address) == "200"

    async def test_is_anybody_where_public_is_asked_for_but_under_no_name(self, asker: Asker) -> None:
        status, headers, _ = await asker.ask("/check/public", token("admin"), X_Forwarded_For=stranger())
        assert status == 200
        identity = [headers[name] for name in ("x-lucid-user", "x-lucid-role", "x-lucid-session")]
        assert identity == ["", "", ""]

    async def test_is_nobody_whose_login_was_ended(self, site: tuple[Deployment, int], asker: Asker) -> None:
        calls = site[0].calls("api-gateway", [auth_service.SERVICE])
        desk, address = Desk(calls), stranger()
        try:
            _, tokens = await desk.joined(f"{uuid.uuid4().hex}@example.org")
            bearer = tokens.access_token
            assert await asker.code("/check", bearer, X_Forwarded_For=address) == "200"
            await desk.ask(auth_service.LOGOUT, token=bearer)
        finally:
            await calls.close()

        async def refused() -> bool:
            return await asker.code("/check", bearer, X_Forwarded_For=address) == "401 LUCID_ERR_2009"

        await until(refused, seconds=5)


class TestTheRole:
    async def test_cannot_be_lowered_by_what_the_client_adds(self, asker: Asker) -> None:
        lower = ("/../public", "/%2e%2e/public", "/..%2fpublic", "//public", "/public", "?role=public")
        for rest in lower:
            outcome = await asker.code("/check/admin" + rest, token("user"), X_Forwarded_For=stranger())
            assert outcome == "403 LUCID_ERR_2004", rest

    async def test_cannot_be_walked_around(self, asker: Asker) -> None:
        for rest in ("/../../health/live", "/../../metrics", "/..%2f../openapi.json", "/%2e%2e/../health"):
            outcome = await asker.code("/check/admin" + rest, X_Forwarded_For=stranger())
            assert outcome == "401 LUCID_ERR_2001", rest

    async def test_is_one_that_there_is(self, asker: Asker) -> None:
        for path in ("/check/", "/check/internal", "/check/nobody/x"):
            assert await asker.code(path, X_Forwarded_For=stranger()) == "404 LUCID_ERR_4001", path

    def test_is_read_from_the_second_segment_alone(self) -> None:
        assert auth_proxy.required("/check") is Access.USER
        assert auth_proxy.required("/check?role=public") is Access.USER
        assert auth_proxy.required("/check/admin/../public?x=/check/public") is Access.ADMIN


class TestLimits:
    async def test_of_strangers_are_their_address_s(self, asker: Asker) -> None:
        address = stranger()
        outcomes = [
            await asker.code("/check/public", X_Forwarded_For=address) for _ in range(PUBLIC_BURST + 2)
        ]
        assert outcomes == ["200"] * PUBLIC_BURST + ["429 LUCID_ERR_3001"] * 2
        assert await asker.code("/check/public", X_Forwarded_For=stranger()) == "200"

    async def test_of_people_are_their_own_wherever_they_come_from(self, asker: Asker) -> None:
        bearer = token()
        answers = [
            await asker.ask("/check", bearer, X_Forwarded_For=stranger()) for _ in range(USER_BURST + 1)
        ]
        assert [status for status, _, _ in answers] == [200] * USER_BURST + [429]
        _, admitted, _ = answers[0]
        assert (admitted["ratelimit-limit"], admitted["ratelimit-remaining"]) == ("7", "6")
        _, refused, _ = answers[-1]
        assert (refused["ratelimit-remaining"], refused["retry-after"]) == ("0", "1")

    async def test_count_the_address_that_the_proxy_sees(self, asker: Asker) -> None:
        address = stranger()
        for _ in range(PUBLIC_BURST):
            forged = f"{stranger()}, {address}"
            assert await asker.code("/check/public", X_Forwarded_For=forged) == "200"
        outcome = await asker.code("/check/public", X_Forwarded_For=f"{stranger()}, {address}")
        assert outcome == "429 LUCID_ERR_3001"

    async def test_without_an_address_nobody_passes(self, asker: Asker) -> None:
        assert (await asker.code("/check/public")).endswith("LUCID_ERR_5004")
        for named in ("", "unknown", "10.0.0.1, somebody", "10.0.0.1:80"):
            outcome = await asker.code("/check/public", X_Forwarded_For=named)
            assert outcome.endswith("LUCID_ERR_5004"), named


@pytest.mark.usefixtures("deployment")
class TestFailures:
    async def test_without_auth_service_it_is_503_and_no_401(
        self, redis_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("REDIS_URL", redis_url)
        async with serve_plain(await auth_proxy.create()) as port, aiohttp.ClientSession() as session:
            outcome = await Asker(session, port).code("/check", token(), X_Forwarded_For=stranger())
        assert outcome == "503 LUCID_ERR_5008"

    async def test_a_missing_redis_url_stops_the_start(self) -> None:
        with pytest.raises(SettingsError, match="REDIS_URL: is missing"):
            await auth_proxy.create()


Start = Callable[[Processes, Path, int, int], Started]


@asynccontextmanager
async def proxy(
    start: Start, processes: Processes, directory: Path, auth_proxy_port: int
) -> AsyncIterator[dict[str, Asker]]:
    """Somebody before each way in of a proxy, behind which a backend tells what reached it."""

    async def tell(request: web.Request) -> web.Response:
        return web.json_response(
            {
                "path": request.path_qs,
                "headers": {name.lower(): value for name, value in request.headers.items()},
            }
        )

    backend = web.Application()
    backend.router.add_route("*", "/{path:.*}", tell)
    # What strangers may is counted by address: each test has one of its own.
    caller = aiohttp.TCPConnector(local_addr=(str(IPv4Address(secrets.randbits(23) | 127 << 24)), 0))
    async with serve_plain(backend) as backend_port, aiohttp.ClientSession(connector=caller) as session:
        ports, process = start(processes, directory, auth_proxy_port, backend_port)
        try:
            askers = {role: Asker(session, port) for role, port in ports.items()}
            await until(askers["user"].listening)
            yield askers
        finally:
            process.stop()


@pytest.fixture(params=[start_nginx, start_envoy], ids=["nginx", "envoy"])
async def ways_in(
    request: pytest.FixtureRequest, processes: Processes, tmp_path: Path, site: tuple[Deployment, int]
) -> AsyncIterator[dict[str, Asker]]:
    """Each reverse proxy in turn."""
    async with proxy(request.param, processes, tmp_path / "proxy", site[1]) as askers:
        yield askers


class TestBehindARealProxy:
    async def test_people_pass_under_their_names_and_nobody_else(self, ways_in: dict[str, Asker]) -> None:
        user = str(uuid.uuid4())
        status, _, told = await ways_in["user"].ask("/some/path?x=1", token("user", user))
        assert (status, told["path"]) == (200, "/some/path?x=1")
        assert (told["headers"]["x-lucid-user"], told["headers"]["x-lucid-role"]) == (user, "user")
        assert (await ways_in["user"].ask("/some/path"))[0] == 401
        assert (await ways_in["user"].ask("/some/path", "nonsense"))[0] == 401
        assert (await ways_in["admin"].ask("/some/path", token("user")))[0] == 403
        assert (await ways_in["admin"].ask("/some/path", token("admin")))[0] == 200

    async def test_nobody_gets_more_by_headers_or_path(self, ways_in: dict[str, Asker]) -> None:
        spoofed = {"X_Lucid_User": "root", "X_Lucid_Role": "super_admin", "X_Lucid_Session": "x"}
        status, _, told = await ways_in["public"].ask("/", **spoofed)
        assert status == 200
        assert {told["headers"].get(f"x-lucid-{name}", "") for name in ("user", "role", "session")} == {""}
        for path in ("/../public/x", "/%2e%2e/public", "/../../health/live", "//public"):
            assert (await ways_in["admin"].ask(path, token("user"), **spoofed))[0] in {400, 403}, path

    async def test_too_many_are_429_with_the_time_to_wait(self, ways_in: dict[str, Asker]) -> None:
        bearer = token()
        answers = [await ways_in["user"].ask("/", bearer) for _ in range(USER_BURST + 1)]
        assert [status for status, _, _ in answers] == [200] * USER_BURST + [429]
        assert answers[-1][1]["retry-after"] == "1"
