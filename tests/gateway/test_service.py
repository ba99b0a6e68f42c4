"""api-gateway before a real auth-service: who gets in, who does not, and what is said to them."""

import hmac
import re
import time
import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from importlib import import_module
from typing import Any

import aiohttp
import jwt
import msgspec
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from openapi_spec_validator import validate

from lucid import catalog
from lucid.auth import service as auth
from lucid.auth.tokens import Signer
from lucid.contracts import api_gateway as contract
from lucid.contracts import auth_service
from lucid.gateway import service as gateway
from lucid.gateway.headers import SECURITY
from lucid.gateway.table import public_routes
from lucid.kit.routes import Access, Route
from lucid.kit.settings import SettingsError
from tests.auth.live import PASSWORD, TOKEN_KEY, Deployment, Person, person

API = contract.PREFIX
SIGNER = Signer(TOKEN_KEY)
ROUTES: list[Route[Any, Any, Any]] = [
    route for each in catalog.load().services.values() for route in import_module(each.contract).ROUTES
]
INTERNAL = [route for route in ROUTES if route.access is Access.INTERNAL]
OUTSIDE = [route for route in ROUTES if route.access is not Access.INTERNAL]


def operation(route: Route[Any, Any, Any]) -> tuple[str, str]:
    """What a request has to say to reach it, whatever its parameters are called."""
    return route.method, re.sub(r"\{\w+\}", "{}", route.path)


def token(role: str = "user", age: int = 0) -> str:
    return SIGNER.mint(str(uuid.uuid4()), role, int(time.time()) - age, str(uuid.uuid4()))


def forged(algorithm: str, key: Any, **header: Any) -> str:
    claims = jwt.decode(token("super_admin"), options={"verify_signature": False})
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": SIGNER.kid} | header)


def forged_with_hmac(key: bytes) -> str:
    """HS256 under any bytes; PyJWT itself refuses to sign with a public key."""
    header = urlsafe_b64encode(msgspec.json.encode({"alg": "HS256", "kid": SIGNER.kid})).rstrip(b"=")
    signed = header + b"." + token("super_admin").split(".")[1].encode()
    return (signed + b"." + urlsafe_b64encode(hmac.digest(key, signed, "sha256")).rstrip(b"=")).decode()


def filled(route: Route[Any, Any, Any]) -> str:
    """The route's path with something that fits in place of each parameter."""
    some = dict.fromkeys(route.path_names, "1") | {"session": str(uuid.uuid4()), "entry": "0" * 64}
    return API + route.path.format(**some)


@pytest.fixture
async def someone(deployment: Deployment) -> AsyncIterator[Person]:
    """A person before a gateway with auth-service behind it; the other services are down."""
    async with (
        deployment.serve(await auth.create()),
        deployment.serve(await gateway.create()),
        person(deployment) as made,
    ):
        yield made


@pytest.fixture
async def alone(deployment: Deployment) -> AsyncIterator[Person]:
    """A person before a gateway with nothing behind it."""
    async with deployment.serve(await gateway.create()), person(deployment) as made:
        yield made


@pytest.fixture
async def on_loopback(deployment: Deployment) -> AsyncIterator[Person]:
    """The operator at the gateway's plain socket."""
    runner = web.AppRunner(await gateway.create(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", deployment.ports["api-gateway"]).start()
    async with aiohttp.ClientSession() as session:
        yield Person(session, f"http://127.0.0.1:{deployment.ports['api-gateway']}")
    await runner.cleanup()


class TestTokens:
    async def test_none_is_2001_an_expired_one_2002_and_nonsense_2003(self, someone: Person) -> None:
        me = API + "/users/me"
        assert await someone.status_and_code("GET", me) == "401 LUCID_ERR_2001"
        assert await someone.status_and_code("GET", me, token(age=3600)) == "401 LUCID_ERR_2002"
        for nonsense in ("garbage", "a.b.c", token()[:-4] + "AAAA", token() + "."):
            assert await someone.status_and_code("GET", me, nonsense) == "401 LUCID_ERR_2003", nonsense
        basic = {"Authorization": "Basic YTpi"}
        assert await someone.status_and_code("GET", me, headers=basic) == "401 LUCID_ERR_2001"

    async def test_one_that_was_signed_another_way_is_2003(self, someone: Person) -> None:
        public = Ed25519PrivateKey.from_private_bytes(TOKEN_KEY).public_key()
        raw = urlsafe_b64decode(SIGNER.jwks.keys[0].x + "=")
        der, pem = (
            public.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
            for encoding in (Encoding.DER, Encoding.PEM)
        )
        stranger = Ed25519PrivateKey.generate()
        tokens = {
            "no signature": forged("none", None),
            "HS256 with the public key": forged_with_hmac(raw),
            "HS256 with the public key in DER": forged_with_hmac(der),
            "HS256 with the public key in PEM": forged_with_hmac(pem),
            "another key under our key's id": forged("EdDSA", stranger),
            "another key under its own id": forged("EdDSA", stranger, kid="stranger"),
        }
        path = f"{API}/users/{uuid.uuid4()}/role"
        for what, made in tokens.items():
            outcome = await someone.status_and_code("PUT", path, made, json={"role": "admin"})
            assert outcome == "401 LUCID_ERR_2003", what

    async def test_a_role_that_is_too_low_or_unknown_is_2004(self, someone: Person) -> None:
        path = f"{API}/users/{uuid.uuid4()}/role"
        for role in ("user", "node_operator", "admin", "root", ""):
            outcome = await someone.status_and_code("PUT", path, token(role), json={"role": "admin"})
            assert outcome == "403 LUCID_ERR_2004", role

    async def test_every_route_that_needs_one_asks_for_it(self, someone: Person) -> None:
        guarded = [route for route in public_routes(catalog.load()) if route.access > Access.PUBLIC]
        assert len(guarded) > 10
        for route in guarded:
            assert await someone.status_and_code(route.method, filled(route)) == "401 LUCID_ERR_2001", (
                route.path
            )


class TestPaths:
    async def test_what_is_not_exactly_a_route_is_not_found(self, someone: Person) -> None:
        for path in (
            "/",
            "/api/v1",
            "/api/v1/nothing",
            "/api/v2/users/me",
            "/users/me",
            "/api/v1/users/me/",
            "/api/v1//users/me",
            "/api/v1/users/me/more",
            "/api/v1/sessions/../users/me",
            "/api/v1/%75sers/me/..",
        ):
            outcome = await someone.status_and_code("GET", path, token("super_admin"))
            assert outcome == "404 LUCID_ERR_4001", path

    async def test_a_wrong_method_is_405(self, someone: Person) -> None:
        for method, path in (("DELETE", "/users/me"), ("GET", "/users"), ("HEAD", "/users/me")):
            async with someone.ask(method, API + path, token()) as answer:
                assert answer.status == 405, path

    async def test_what_is_between_services_is_not_there(self, alone: Person) -> None:
        # What has the name of an operation for people leads to that one: see the table's tests.
        hidden = [route for route in INTERNAL if operation(route) not in map(operation, OUTSIDE)]
        assert len(hidden) > 10
        for route in hidden:
            for path in (filled(route), filled(route).removeprefix(API)):
                outcome = await alone.status_and_code(route.method, path, token("super_admin"))
                assert outcome in {"404 LUCID_ERR_4001", "405 LUCID_ERR_4003"}, f"{route.method} {path}"

    async def test_the_operator_s_paths_exist_on_loopback_only(self, someone: Person) -> None:
        for path in ("/metrics", "/openapi.json"):
            assert await someone.status_and_code("GET", path) == "404 LUCID_ERR_4001"
        assert await someone.status_and_code("GET", "/health/live") == "200"

    async def test_metrics_on_loopback_count_checked_tokens(self, on_loopback: Person) -> None:
        await on_loopback.status_and_code("GET", API + "/users/me", "garbage")
        async with on_loopback.ask("GET", "/metrics") as answer:
            text = await answer.text()
        assert 'lucid_auth_token_validations_total{outcome="token_invalid"}' in text


class TestServicesThatAreDown:
    async def test_a_token_that_cannot_be_checked_is_5008_and_never_401(self, alone: Person) -> None:
        assert await alone.status_and_code("GET", API + "/users/me", token()) == "503 LUCID_ERR_5008"

    async def test_a_login_that_reaches_nobody_is_5008(self, alone: Person) -> None:
        body = {"email": "anna@example.org", "password": PASSWORD}
        assert await alone.status_and_code("POST", API + "/auth/login", json=body) == "503 LUCID_ERR_5008"

    async def test_another_service_that_is_down_is_5008(self, someone: Person) -> None:
        assert await someone.status_and_code("GET", API + "/sessions", token()) == "503 LUCID_ERR_5008"
        assert await someone.status_and_code("GET", API + "/chain/info") == "503 LUCID_ERR_5008"

    async def test_checks_go_on_with_the_keys_at_hand_when_auth_service_goes(
        self, deployment: Deployment
    ) -> None:
        path = API + "/auth/status"
        async with AsyncExitStack() as auth_service_s_time:
            await auth_service_s_time.enter_async_context(deployment.serve(await auth.create()))
            async with deployment.serve(await gateway.create()), person(deployment) as someone:
                assert await someone.status_and_code("GET", path, token()) == "200"
                await auth_service_s_time.aclose()
                assert await someone.status_and_code("GET", path, token()) == "503 LUCID_ERR_5008"
                assert await someone.status_and_code("GET", path, token(age=3600)) == "401 LUCID_ERR_2002"

    async def test_show_in_its_health(self, someone: Person) -> None:
        async with someone.ask("GET", API + "/meta/health") as answer:
            health = msgspec.json.decode(await answer.read(), type=contract.MetaHealth)
        assert health.status == "degraded"
        exposed = {service.name for service in catalog.load().exposed()}
        up = {"auth-service", "redis"}
        assert health.services == {name: "up" if name in up else "down" for name in exposed | up}
        assert health.breakers == dict.fromkeys(exposed, "closed")


class TestAnswers:
    async def test_carry_the_security_headers_whatever_they_say(self, someone: Person) -> None:
        for path in (
            API + "/meta/info",
            API + "/users/me",
            "/nothing",
            API + "/chain/info",
            API + "/openapi.json",
        ):
            async with someone.ask("GET", path) as answer:
                assert {name: answer.headers.get(name) for name in SECURITY} == SECURITY, path
                assert "Server" not in answer.headers

    async def test_carry_the_request_s_id_as_given_or_a_fresh_one(self, someone: Person) -> None:
        for path in (API + "/meta/info", API + "/auth/.well-known/jwks.json", "/nothing"):
            async with someone.ask("GET", path, headers={"X-Request-ID": "mine-1234"}) as answer:
                assert answer.headers["X-Request-ID"] == "mine-1234"
            async with someone.ask("GET", path, headers={"X-Request-ID": "bad id"}) as answer:
                assert len(answer.headers["X-Request-ID"]) == 32

    async def test_errors_are_envelopes(self, someone: Person) -> None:
        async with someone.ask("GET", "/nothing") as answer:
            error = (await answer.json())["error"]
        assert set(error) == {"code", "message", "details", "request_id", "timestamp", "service", "version"}
        assert error["service"] == "api-gateway"


class TestDescription:
    async def test_is_valid_openapi_and_names_every_operation(self, someone: Person) -> None:
        async with someone.ask("GET", API + "/openapi.json") as answer:
            document = await answer.json()
        validate(document)
        described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
        routes = (*public_routes(catalog.load()), *contract.ROUTES)
        assert described == {(route.method, API + route.path) for route in routes}

    async def test_says_what_this_is(self, someone: Person) -> None:
        async with someone.ask("GET", API + "/meta/info") as answer:
            assert msgspec.json.decode(await answer.read(), type=contract.Info).api == API

    def test_public_operations_are_few_and_known(self) -> None:
        public = {r for r in public_routes(catalog.load()) if r.access is Access.PUBLIC}
        assert {r for r in public if r.method != "GET"} == {
            auth_service.REGISTER,
            auth_service.LOGIN,
            auth_service.REFRESH,
            auth_service.VERIFY,
            auth_service.CHALLENGE,
            auth_service.WALLET_LOGIN,
            auth_service.LINK_REQUEST,
            auth_service.LINK_LOGIN,
        }


class TestStart:
    @pytest.mark.usefixtures("deployment")
    async def test_a_missing_address_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("LUCID_URL_SESSION_API")
        with pytest.raises(SettingsError, match="LUCID_URL_SESSION_API"):
            await gateway.create()
