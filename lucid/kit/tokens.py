"""Access tokens: EdDSA JWTs (RFC 7519, RFC 8037), checked against the auth service's JWKS (RFC 7517)."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

import jwt
import msgspec
from aiohttp import web

from lucid.kit.errors import Code, LucidError, Unauthenticated, Unavailable
from lucid.kit.routes import Access

ISSUER = "lucid-auth"
AUDIENCE = "lucid"
ALGORITHM = "EdDSA"
KEYS_SECONDS = 300.0
"""How old a key set may be before a new one is asked for; until that has come, the old one serves on."""
STALE_SECONDS = 900.0
"""How long a key set is trusted at most: auth-service may be restarted, but not kept away for good."""
REFETCH_SECONDS = 10.0
"""At most one fetch in this time for key ids that are not known, however many are thrown at us."""
RETRY_SECONDS = 1.0
"""After a fetch that failed nobody waits for another one this long: callers would queue up behind it."""
LEEWAY_SECONDS = 5


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a checked token says."""

    sub: str
    """User id."""
    role: str
    iat: int
    exp: int
    jti: str
    iss: str
    aud: str

    @property
    def access(self) -> Access:
        """The role as a rank. An unknown role ranks as nobody."""
        return next((a for a in Access if a > Access.PUBLIC and a.role == self.role), Access.PUBLIC)


class Jwk(msgspec.Struct, frozen=True, kw_only=True):
    """A public Ed25519 key (RFC 8037)."""

    kid: str
    x: str
    kty: str = "OKP"
    crv: str = "Ed25519"
    alg: str = ALGORITHM
    use: str = "sig"


class Jwks(msgspec.Struct, frozen=True):
    """A JSON Web Key Set."""

    keys: tuple[Jwk, ...]


class Verifier:
    """Checks tokens; `fetch` brings the key set. Should it fail, the caller gets Unavailable, never 401."""

    def __init__(self, fetch: Callable[[], Awaitable[Jwks]]) -> None:
        self._fetch = fetch
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched = self._failed = float("-inf")
        self._guessed = float("-inf")
        """When keys were last asked for in vain, for an id that nobody has."""
        self._lock = asyncio.Lock()
        self._renewal: asyncio.Task[None] | None = None

    async def verify(self, authorization: str | None) -> Claims:
        """The claims of an `Authorization: Bearer` header. Raises Unauthenticated 2001, 2002 or 2003."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("send an access token: Authorization: Bearer <token>")
        try:
            header: dict[str, Any] = jwt.get_unverified_header(token)
        except (jwt.InvalidTokenError, ValueError, RecursionError):
            raise Unauthenticated("the access token is malformed", code=Code.TOKEN_INVALID) from None
        if header.get("alg") != ALGORITHM:
            raise Unauthenticated(f"the access token is not {ALGORITHM}", code=Code.TOKEN_INVALID)
        key = await self._key(str(header.get("kid", "")))
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "sub", "iss", "aud", "jti"]},
            )
            return msgspec.convert(claims, Claims)
        except jwt.ExpiredSignatureError:
            raise Unauthenticated(
                "the access token has expired; log in again", code=Code.TOKEN_EXPIRED
            ) from None
        except (jwt.InvalidTokenError, msgspec.ValidationError):
            raise Unauthenticated("the access token does not hold", code=Code.TOKEN_INVALID) from None

    async def _key(self, kid: str) -> jwt.PyJWK:
        age = time.monotonic() - self._fetched
        if kid in self._keys and age <= STALE_SECONDS:
            if age > KEYS_SECONDS and (self._renewal is None or self._renewal.done()):
                self._renewal = asyncio.create_task(self._renew())
            return self._keys[kid]
        async with self._lock:
            now = time.monotonic()
            unknown = kid not in self._keys and now - self._guessed > REFETCH_SECONDS
            if unknown or now - self._fetched > STALE_SECONDS:
                await self._refresh()
            if unknown and kid not in self._keys:
                self._guessed = now
        if kid not in self._keys:
            raise Unauthenticated("the access token was signed by an unknown key", code=Code.TOKEN_INVALID)
        return self._keys[kid]

    async def _renew(self) -> None:
        """Nobody waits for it: the keys at hand are still good."""
        async with self._lock:
            with contextlib.suppress(Unavailable):
                await self._refresh()

    async def _refresh(self) -> None:
        if time.monotonic() - self._failed < RETRY_SECONDS:
            raise Unavailable("the keys that check access tokens cannot be had; try again")
        try:
            keys = await self._fetch()
        except LucidError as error:
            self._failed = time.monotonic()
            code = error.code if isinstance(error, Unavailable) else Code.EXTERNAL
            raise Unavailable(f"the keys that check access tokens: {error.message}", code=code) from error
        self._keys = {k.kid: jwt.PyJWK(msgspec.to_builtins(k)) for k in keys.keys}
        self._fetched = time.monotonic()


VERIFIER = web.AppKey("verifier", Verifier)
