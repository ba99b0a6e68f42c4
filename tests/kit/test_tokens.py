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
OTHER_PUBLIC = OTHER.public_key().public_bytes_raw()
PEM = KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    made = {
        "sub": "user-1", "role": "node_operator", "sid": "login-1", "iat": now, "nbf": now,
        "exp": now + 3600, "jti": "t1", "iss": tokens.ISSUER, "aud": tokens.AUDIENCE, **changes,
    }  # fmt: skip
    return {name: value for name, value in made.items() if value is not None}


def token(
    key: Ed25519PrivateKey = KEY, kid: str = "k1", extra: dict[str, Any] | None = None, **changes: Any
) -> str:
    """A signed token; made by hand, since PyJWT would not write some of the headers in `extra`."""
    header = {"alg": "EdDSA", "typ": "JWT", "kid": kid, **(extra or {})}
    head = ".".join(b64(json.dumps(part).encode()) for part in (header, claims(**changes)))
    return f"{head}.{b64(key.sign(head.encode()))}"


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
        self.public = PUBLIC
        self.failure: LucidError | None = None

    async def fetch(self) -> Jwks:
        self.asked += 1
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        return Jwks((Jwk(kid=self.kid, x=b64(self.public)),))


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
        found = Claims(sub="a", role=role, sid="", iat=0, nbf=0, exp=0, jti="", iss="", aud="")
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
            token(kid="../../../../dev/null"),
            token(kid="https://example.org/jwks.json"),
            token(kid="k1' OR '1'='1"),
            token(kid="k1\x00"),
            token(kid="k" * 6000),
            token(OTHER, extra={"jwk": {"kty": "OKP", "crv": "Ed25519", "x": b64(OTHER_PUBLIC)}}),
            token(OTHER, extra={"jku": "https://example.org/jwks.json"}),
            token(extra={"crit": ["exp"]}),
            token(extra={"crit": []}),
            token(extra={"crit": ["b64"], "b64": False}),
            token(iat=int(time.time()) + 36_000),
            token(nbf=int(time.time()) + 36_000),
            token(sub=None),
            token(role=None),
            token(sid=None),
            token(iat=None),
            token(nbf=None),
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
        monkeypatch.setattr(tokens, "KEYS_SECONDS", 0.0)
        monkeypatch.setattr(tokens, "STALE_SECONDS", 0.0)
        keys.failure = Unavailable("auth-service is away")
        with pytest.raises(Unavailable):
            await verifier.verify(f"Bearer {token()}")


class TestRemembering:
    @pytest.fixture
    def signatures(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The tokens whose signatures were checked."""
        checked: list[str] = []
        decode = jwt.decode

        def counted(*given: Any, **more: Any) -> Any:
            checked.append(given[0])
            return decode(*given, **more)

        monkeypatch.setattr("lucid.kit.tokens.jwt.decode", counted)
        return checked

    async def test_checks_a_signature_once(self, verifier: Verifier, signatures: list[str]) -> None:
        good = token()
        found = [await verifier.verify(f"Bearer {good}") for _ in range(5)]
        assert {each.sub for each in found} == {"user-1"}
        assert signatures == [good]

    async def test_never_lets_a_token_in_for_another(self, verifier: Verifier) -> None:
        good = token()
        await verifier.verify(f"Bearer {good}")
        for other in (good + "A", good[:-1] + ("A" if good[-1] != "A" else "B"), good.upper(), good[:-4]):
            assert await refusal(verifier, f"Bearer {other}") is Code.TOKEN_INVALID

    async def test_looks_at_the_clock_with_every_use(
        self, verifier: Verifier, signatures: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = time.time()
        good = token(exp=int(now) + 60, nbf=int(now) - 60, iat=int(now) - 60)
        await verifier.verify(f"Bearer {good}")
        monkeypatch.setattr("lucid.kit.tokens.time.time", lambda: now + 70)
        assert await refusal(verifier, f"Bearer {good}") is Code.TOKEN_EXPIRED
        monkeypatch.setattr("lucid.kit.tokens.time.time", lambda: now - 70)
        assert await refusal(verifier, f"Bearer {good}") is Code.TOKEN_INVALID
        monkeypatch.setattr("lucid.kit.tokens.time.time", lambda: now)
        await verifier.verify(f"Bearer {good}")
        assert len(signatures) == 3  # what did not hold was forgotten

    async def test_forgets_the_tokens_of_a_key_that_was_withdrawn(
        self, verifier: Verifier, keys: Keys, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        good = token()
        await verifier.verify(f"Bearer {good}")
        keys.kid = "k2"
        monkeypatch.setattr(tokens, "KEYS_SECONDS", 0.0)
        await verifier.verify(f"Bearer {good}")  # the keys at hand serve on while new ones are fetched
        await asyncio.sleep(0.01)
        assert await refusal(verifier, f"Bearer {good}") is Code.TOKEN_INVALID

    async def test_forgets_the_tokens_of_a_key_that_another_took_the_name_of(
        self, verifier: Verifier, keys: Keys, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        good = token()
        await verifier.verify(f"Bearer {good}")
        keys.public = OTHER_PUBLIC
        monkeypatch.setattr(tokens, "KEYS_SECONDS", 0.0)
        await verifier.verify(f"Bearer {good}")
        await asyncio.sleep(0.01)
        assert await refusal(verifier, f"Bearer {good}") is Code.TOKEN_INVALID

    async def test_relies_on_no_key_that_is_too_old(
        self, verifier: Verifier, keys: Keys, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        good = token()
        await verifier.verify(f"Bearer {good}")
        monkeypatch.setattr(tokens, "KEYS_SECONDS", 0.0)
        monkeypatch.setattr(tokens, "STALE_SECONDS", 0.0)
        keys.failure = Unavailable("auth-service is away")
        with pytest.raises(Unavailable):
            await verifier.verify(f"Bearer {good}")

    async def test_keeps_a_bounded_number_of_those_used_last_and_only_good_ones(
        self, verifier: Verifier, signatures: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tokens, "REMEMBERED", 3)
        good = [token(jti=str(i)) for i in range(4)]
        for each in (good[0], good[1], good[2], good[0], good[3]):
            await verifier.verify(f"Bearer {each}")
        for _ in range(9):
            await refusal(verifier, f"Bearer {token(OTHER)}")
            await refusal(verifier, f"Bearer {token(exp=int(time.time()) - 60)}")
        signatures.clear()
        for each in (good[0], good[2], good[3]):
            await verifier.verify(f"Bearer {each}")
        assert signatures == []
        await verifier.verify(f"Bearer {good[1]}")
        assert signatures == [good[1]]

    async def test_keeps_no_token_in_memory(self, verifier: Verifier) -> None:
        good = token()
        await verifier.verify(f"Bearer {good}")
        assert good not in repr(vars(verifier))
        assert good.rpartition(".")[2] not in repr(vars(verifier))


class TestARevokedToken:
    async def test_is_refused_from_the_next_use_on(self, keys: Keys) -> None:
        ended: set[str] = set()

        def check(said: Claims) -> None:
            if said.sid in ended:
                raise Unauthenticated("ended", code=Code.LOGIN_ENDED)

        verifier = Verifier(keys.fetch, check)
        good, other = token(), token(sid="login-2")
        await verifier.verify(f"Bearer {good}")
        ended.add("login-1")
        assert await refusal(verifier, f"Bearer {good}") is Code.LOGIN_ENDED
        assert await refusal(verifier, f"Bearer {token(jti='new')}") is Code.LOGIN_ENDED
        assert (await verifier.verify(f"Bearer {other}")).sid == "login-2"


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
