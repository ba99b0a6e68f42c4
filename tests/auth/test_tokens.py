"""Minting access tokens, against the published key of RFC 8037."""

import base64
import json
import time
import uuid

import pytest

from lucid.auth.tokens import ACCESS_SECONDS, LONGEST_ACCESS_SECONDS, Signer, thumbprint
from lucid.kit.errors import Code, Unauthenticated
from lucid.kit.routes import Access
from lucid.kit.tokens import Jwks, Verifier

# RFC 8037, appendix A.
D = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"
X = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
THUMBPRINT = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def seed() -> bytes:
    return base64.urlsafe_b64decode(D + "=")


def verifier(signer: Signer) -> Verifier:
    async def fetch() -> Jwks:
        return signer.jwks

    return Verifier(fetch)


def test_the_key_and_its_thumbprint_are_those_of_rfc_8037() -> None:
    (key,) = Signer(seed()).jwks.keys
    assert (key.x, key.kid) == (X, THUMBPRINT)
    assert thumbprint(X) == THUMBPRINT


async def test_a_token_says_who_what_and_for_how_long() -> None:
    user, now = str(uuid.uuid4()), int(time.time())
    signer = Signer(seed())
    claims = await verifier(signer).verify(f"Bearer {signer.mint(user, 'admin', now, 's')}")
    assert (claims.sub, claims.access, claims.exp - claims.iat) == (user, Access.ADMIN, ACCESS_SECONDS)


def test_a_token_names_its_key_and_two_are_never_alike() -> None:
    signer = Signer(seed())
    tokens = {signer.mint("u", "user", 1_700_000_000, "s") for _ in range(2)}
    assert len(tokens) == 2
    header = json.loads(base64.urlsafe_b64decode(tokens.pop().partition(".")[0] + "=="))
    assert header == {"alg": "EdDSA", "kid": THUMBPRINT, "typ": "JWT"}


async def test_tokens_of_the_key_before_hold_on_while_that_is_known() -> None:
    before, after = Signer(bytes(32)), Signer(seed(), previous=bytes(32))
    out, now = before.mint("u", "user", int(time.time()), "s"), int(time.time())
    check = verifier(after).verify
    assert (await check(f"Bearer {out}")).sub == "u"
    assert (await check(f"Bearer {after.mint('v', 'user', now, 's')}")).sub == "v"
    with pytest.raises(Unauthenticated):
        await verifier(Signer(seed())).verify(f"Bearer {out}")


async def test_a_token_holds_for_fifteen_minutes_and_no_longer() -> None:
    signer = Signer(seed())
    check = verifier(signer).verify
    await check(f"Bearer {signer.mint('u', 'user', int(time.time()) - ACCESS_SECONDS + 10, 's')}")
    with pytest.raises(Unauthenticated) as refusal:
        await check(f"Bearer {signer.mint('u', 'user', int(time.time()) - ACCESS_SECONDS - 10, 's')}")
    assert refusal.value.code is Code.TOKEN_EXPIRED


async def test_a_token_holds_for_as_long_as_the_deployment_says() -> None:
    signer, now = Signer(seed(), life=LONGEST_ACCESS_SECONDS), int(time.time())
    check = verifier(signer).verify
    await check(f"Bearer {signer.mint('u', 'user', now - LONGEST_ACCESS_SECONDS + 10, 's')}")
    with pytest.raises(Unauthenticated):
        await check(f"Bearer {signer.mint('u', 'user', now - LONGEST_ACCESS_SECONDS - 10, 's')}")


async def test_a_token_of_another_key_does_not_hold() -> None:
    with pytest.raises(Unauthenticated) as refusal:
        await verifier(Signer(seed())).verify(
            f"Bearer {Signer(bytes(32)).mint('u', 'user', int(time.time()), 's')}"
        )
    assert refusal.value.code is Code.TOKEN_INVALID
