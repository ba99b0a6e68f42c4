"""Mints access tokens: EdDSA JWTs (RFC 7519, RFC 8037). `lucid.kit.tokens` checks them."""

import base64
import hashlib
import uuid

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lucid.kit.tokens import ALGORITHM, AUDIENCE, ISSUER, Claims, Jwk, Jwks

ACCESS_SECONDS = 15 * 60
"""How long an access token holds unless the deployment says otherwise."""
LONGEST_ACCESS_SECONDS = 8 * 3600
"""The most that a deployment may say."""


class Signer:
    """The key that signs access tokens, from its Ed25519 seed (RFC 8032, 32 bytes).

    `previous` is the seed before, whose tokens are still out; `life` is how long its own hold, seconds.
    """

    def __init__(self, seed: bytes, previous: bytes | None = None, life: int = ACCESS_SECONDS) -> None:
        self.life = life
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        own = _jwk(self._key)
        self.kid = own.kid
        """Key id: two services with the same key agree on it without being told."""
        before = () if previous is None else (_jwk(Ed25519PrivateKey.from_private_bytes(previous)),)
        self.jwks = Jwks((own, *before))

    def mint(self, user: str, role: str, now: int, session: str) -> str:
        """A token for `user`'s login `session` that holds from `now` (Unix seconds) for `life` seconds."""
        claims = Claims(
            sub=user,
            role=role,
            sid=session,
            iat=now,
            nbf=now,
            exp=now + self.life,
            jti=uuid.uuid4().hex,
            iss=ISSUER,
            aud=AUDIENCE,
        )
        return jwt.encode(
            msgspec.to_builtins(claims), self._key, algorithm=ALGORITHM, headers={"kid": self.kid}
        )


def _jwk(key: Ed25519PrivateKey) -> Jwk:
    x = _base64url(key.public_key().public_bytes_raw())
    return Jwk(kid=thumbprint(x), x=x)


def thumbprint(x: str) -> str:
    """RFC 7638 thumbprint of the Ed25519 public key `x` (base64url), over the members that RFC 8037 names."""
    return _base64url(hashlib.sha256(f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'.encode()).digest())


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
