"""Access tokens: forged, foreign, late and incomplete ones, and what happens without the keys."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lucid.kit import tokens
from lucid.kit.errors import Code, Forbidden, LucidError, Unauthenticated, Unavailable
from lucid.kit.routes import Access
from lucid.kit.tokens import VERIFIER, Claims, Jwk, Jwks, Verifier
from tests.kit import parrot
from tests.kit.live import Asker, House

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC = KEY.public_key().public_bytes_raw()
PEM = KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    made = {
        "sub": "user-1", "role": "node_operator", "iat": now, "exp": now + 3600, "jti": "t1",
        "iss": tokens.ISSUER, "aud": tokens.AUDIENCE, **changes,
    }  # fmt: skip
    return {name: value for name, value in made.items() if value is not None}


def token(key: Ed25519PrivateKey = KEY, kid: str = "k1", **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, algorithm="EdDSA", headers={"kid": kid})


def unsigned(header: dict[str, Any], signature: bytes = b"") -> str:
    parts = (json.dumps(header).encode(), json.dumps(claims()).encode(), signature)
    return ".".join(b64(part) for part in parts)


def hs256_with_the_public_key(secret: bytes) -> str:
    algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    head = ".".join(unsigned({"alg": "HS256", "typ": "JWT", "kid": "k1"}).split(".")[:2])
    return f"{head}.{b64(algorithm.sign(head.encode(), secret))}"


class Keys:
    """The auth service's key set, counted, and down if so wished."""

    def __init__(self) -> None:
        self.asked = 0
        self.kid = "k1"
        self.failure: LucidError | None = None

    async def fetch(self) -> Jwks:
        self.asked += 1
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        return Jwks((Jwk(kid=self.kid, x=b64(PUBLIC)),))


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def verifier(keys: Keys) -> Verifier:
    return Verifier(keys.fetch)


async def refusal(verifier: Verifier, header: str | None) -> Code:
    with pytest.raises(Unauthenticated) as caught:
        await verifier.verify(header)
    return caught.value.code


class TestAGoodToken:
    async def test_says_who_and_what(self, verifier: Verifier) -> None:
        found = await verifier.verify(f"Bearer {token()}")
        assert (found.sub, found.access) == ("user-1", Access.NODE_OPERATOR)

    async def test_costs_one_fetch_for_many(self, verifier: Verifier, keys: Keys) -> None:
        await asyncio.gather(*(verifier.verify(f"bearer {token()}") for _ in range(20)))
        assert keys.asked == 1

    @pytest.mark.parametrize("role", ["internal", "public", "root", ""])
    def test_with_a_role_that_is_none_ranks_as_nobody(self, role: str) -> None:
        found = Claims(sub="a", role=role, iat=0, exp=0, jti="", iss="", aud="")
        assert found.access is Access.PUBLIC


class TestABadToken:
    @pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz"])
    async def test_that_is_none_asks_for_one(self, verifier: Verifier, header: str | None) -> None:
        assert await refusal(verifier, header) is Code.AUTHENTICATION_REQUIRED

    @pytest.mark.parametrize(
        "forged",
        [
            unsigned({"alg": "none", "kid": "k1"}),
            unsigned({"alg": "None", "kid": "k1"}),
            unsigned({"kid": "k1"}),
            unsigned({"alg": "EdDSA", "kid": "k1"}),
            unsigned({"alg": "EdDSA", "kid": "k1"}, bytes(64)),
            unsigned({"alg": "EdDSA", "kid": 1}, bytes(64)),
            unsigned({"alg": "EdDSA"}, bytes(64)),
            hs256_with_the_public_key(PUBLIC),
            hs256_with_the_public_key(PEM),
            token(OTHER),
            token(OTHER, kid="k2"),
            token()[:-8],
            token() + ".more",
            "no.jwt",
            "\udcff\udcfe",
            b64(b"[" * 5000) + "." + b64(b"{}") + ".",
            token(iss="somebody"),
            token(aud="other"),
            token(aud=["lucid", "other"]),
            token(iat=int(time.time()) + 36_000),
            token(nbf=int(time.time()) + 36_000),
            token(sub=None),
            token(role=None),
            token(iat=None),
            token(exp=None),
            token(jti=None),
            token(iss=None),
            token(aud=None),
            token(role=7),
        ],
    )
    async def test_is_invalid(self, verifier: Verifier, forged: str) -> None:
        assert await refusal(verifier, f"Bearer {forged}") is Code.TOKEN_INVALID

    async def test_that_is_late_says_so(self, verifier: Verifier) -> None:
        late = token(exp=int(time.time()) - tokens.LEEWAY_SECONDS - 2)
        assert await refusal(verifier, f"Bearer {late}") is Code.TOKEN_EXPIRED


class TestUnknownKeys:
    async def test_are_asked_for_once_in_a_while_only(
        self, verifier: Verifier, keys: Keys, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for kid in range(50):
            assert await refusal(verifier, f"Bearer {token(kid=str(kid))}") is Code.TOKEN_INVALID
        assert keys.asked == 1
        monkeypatch.setattr(tokens, "REFETCH_SECONDS", 0.0)
        await refusal(verifier, f"Bearer {token(kid='new')}")
        assert keys.asked == 2

    async def test_are_asked_for_at_once_after_a_regular_fetch(self, verifier: Verifier, keys: Keys) -> None:
        await verifier.verify(f"Bearer {token()}")
        keys.kid = "k2"
        assert (await verifier.verify(f"Bearer {token(kid='k2')}")).sub == "user-1"


class TestWithoutTheKeys:
    async def test_the_caller_is_not_to_blame(self, verifier: Verifier, keys: Keys) -> None:
        keys.failure = Unavailable("auth-service cannot be reached")
        with pytest.raises(Unavailable) as caught:
            await verifier.verify(f"Bearer {token()}")
        assert caught.value.code.status == 503

    async def test_nor_when_this_service_may_not_have_them(self, verifier: Verifier, keys: Keys) -> None:
        keys.failure = Forbidden("auth-service does not admit session-api")
        with pytest.raises(Unavailable) as caught:
            await verifier.verify(f"Bearer {token()}")
        assert caught.value.code is Code.EXTERNAL

    async def test_many_callers_cost_one_fetch(
        self, verifier: Verifier, keys: Keys, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keys.failure = Unavailable("away")
        for _ in range(20):
            with pytest.raises(Unavailable):
                await verifier.verify(f"Bearer {token(kid='any')}")
        assert keys.asked == 1
        keys.failure = None
        monkeypatch.setattr(tokens, "RETRY_SECONDS", 0.0)
        assert (await verifier.verify(f"Bearer {token()}")).sub == "user-1"


class TestOldKeys:
    async def test_serve_on_while_new_ones_are_asked_for(
        self, verifier: Verifier, keys: Keys, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await verifier.verify(f"Bearer {token()}")
        monkeypatch.setattr(tokens, "KEYS_SECONDS", 0.0)
        keys.failure = Unavailable("auth-service is restarted")
        for _ in range(20):
            assert (await verifier.verify(f"Bearer {token()}")).sub == "user-1"
            await asyncio.sleep(0)
        assert keys.asked == 2
        keys.failure = None
        monkeypatch.setattr(tokens, "RETRY_SECONDS", 0.0)
        await verifier.verify(f"Bearer {token()}")
        await asyncio.sleep(0.01)
        assert keys.asked == 3

    async def test_are_not_trusted_for_ever(
        self, verifier: Verifier, keys: Keys, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await verifier.verify(f"Bearer {token()}")
        monkeypatch.setattr(tokens, "STALE_SECONDS", 0.0)
        keys.failure = Unavailable("auth-service is away")
        with pytest.raises(Unavailable):
            await verifier.verify(f"Bearer {token()}")


class TestRoutes:
    @pytest.fixture
    async def caller(self, house: House, verifier: Verifier) -> AsyncIterator[Asker]:
        service = parrot.build()
        service[VERIFIER] = verifier
        async with house.serve(service, parrot.SERVICE), house.asking(parrot.CALLER, parrot.SERVICE) as made:
            yield made

    @pytest.mark.parametrize("role", ["node_operator", "admin", "super_admin"])
    async def test_let_in_who_has_the_role_or_a_higher_one(self, caller: Asker, role: str) -> None:
        bearer = {"Authorization": f"Bearer {token(role=role)}"}
        async with caller.ask("GET", "/mine", headers=bearer) as answer:
            assert await answer.json() == {"text": "user-1"}

    @pytest.mark.parametrize("role", ["user", "internal", "king"])
    async def test_refuse_who_has_a_lower_one(self, caller: Asker, role: str) -> None:
        bearer = {"Authorization": f"Bearer {token(role=role)}"}
        assert await caller.outcome("GET", "/mine", headers=bearer) == (403, "2004")

    async def test_ask_who_it_is(self, caller: Asker) -> None:
        assert await caller.outcome("GET", "/mine") == (401, "2001")
        assert await caller.outcome("GET", "/mine", headers={"Authorization": "Bearer ü"}) == (401, "2003")

    async def test_answer_503_without_the_keys(self, caller: Asker, keys: Keys) -> None:
        keys.failure = Unavailable("away")
        bearer = {"Authorization": f"Bearer {token()}"}
        assert await caller.outcome("GET", "/mine", headers=bearer) == (503, "5008")
