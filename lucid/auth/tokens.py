"""Mints access tokens: EdDSA JWTs (RFC 7519, RFC 8037). `lucid.kit.tokens` checks them."""

import base64
import hashlib
import uuid

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lucid.kit.tokens import ALGORITHM, AUDIENCE, ISSUER, Claims, Jwk, Jwks

ACCESS_SECONDS = 15 * 60
SEED_BYTES = 32


class Signer:
    """The key that signs access tokens, from its Ed25519 seed (RFC 8032, 32 bytes)."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        x = _base64url(self._key.public_key().public_bytes_raw())
        self.kid = thumbprint(x)
        """Key id: two services with the same key agree on it without being told."""
        self.jwks = Jwks((Jwk(kid=self.kid, x=x),))

    def mint(self, user: str, role: str, now: int) -> str:
        """A token for `user` that holds from `now` (Unix seconds) for `ACCESS_SECONDS`."""
        claims = Claims(
            sub=user,
            role=role,
            iat=now,
            exp=now + ACCESS_SECONDS,
            jti=uuid.uuid4().hex,
            iss=ISSUER,
            aud=AUDIENCE,
        )
        return jwt.encode(
            msgspec.to_builtins(claims), self._key, algorithm=ALGORITHM, headers={"kid": self.kid}
        )


def thumbprint(x: str) -> str:
    """RFC 7638 thumbprint of the Ed25519 public key `x` (base64url), over the members that RFC 8037 names."""
    return _base64url(hashlib.sha256(f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'.encode()).digest())


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
