"""Access tokens: EdDSA JWTs (RFC 7519, RFC 8037), checked against the auth service's JWKS (RFC 7517).

A token's signature is checked once: what it says is then remembered until it expires or its key is withdrawn.
Its times, and whether its login was ended, are checked with every use.
"""

import asyncio
import contextlib
import hashlib
import time
from collections import OrderedDict
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
REMEMBERED = 8192
"""Tokens whose signatures need no second check; beyond these the one unused for longest is forgotten."""


_RANKS = {access.role: access for access in Access if access > Access.PUBLIC}


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a checked token says."""

    sub: str
    """User id."""
    role: str
    sid: str
    """Id of the login that the token belongs to."""
    iat: int
    nbf: int
    exp: int
    jti: str
    iss: str
    aud: str

    @property
    def access(self) -> Access:
        """The role as a rank. An unknown role ranks as nobody."""
        return _RANKS.get(self.role, Access.PUBLIC)


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
    """Checks tokens; `fetch` brings the key set. Should it fail, the caller gets Unavailable, never 401.

    `check`, where there is one, is told the claims of every token that holds and raises for those that were
    taken back: `lucid.kit.revocations.Revocations.check`.
    """

    def __init__(
        self, fetch: Callable[[], Awaitable[Jwks]], check: Callable[[Claims], None] | None = None
    ) -> None:
        self._fetch = fetch
        self._check = check
        self._published: dict[str, Jwk] = {}
        self._keys: dict[str, jwt.PyJWK] = {}
        self._known: OrderedDict[bytes, tuple[str, Claims]] = OrderedDict()
        """Key id and claims of tokens that hold, by SHA-256 of the token: no token stays in memory."""
        self._fetched = self._failed = float("-inf")
        self._guessed = float("-inf")
        """When keys were last asked for in vain, for an id that nobody has."""
        self._lock = asyncio.Lock()
        self._renewal: asyncio.Task[None] | None = None

    async def verify(self, authorization: str | None) -> Claims:
        """The claims of an `Authorization: Bearer` header.

        Raises Unauthenticated 2001, 2002 or 2003, Unavailable without keys, and whatever `check` raises.
        """
        token, digest = _digested(authorization)
        if time.monotonic() - self._fetched > KEYS_SECONDS and (known := self._known.get(digest)):
            await self._key(known[0])  # renews old keys, and raises where they are too old to rely on
        claims = self._remembered(digest)
        if claims is None:
            kid, claims = await self._signed(token)
            _in_time(claims, time.time())
            self._known[digest] = (kid, claims)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        if self._check is not None:
            self._check(claims)
        return claims

    def recall(self, authorization: str | None) -> Claims | None:
        """The claims of a token that held before and holds now, at once; None: ask `verify`.

        Raises Unauthenticated 2001 or 2002, and whatever `check` raises.
        """
        if time.monotonic() - self._fetched > KEYS_SECONDS:
            return None
        claims = self._remembered(_digested(authorization)[1])
        if claims is not None and self._check is not None:
            self._check(claims)
        return claims

    def _remembered(self, digest: bytes) -> Claims | None:
        """The claims of a token that held before and holds now; None: its signature is to be checked."""
        known = self._known.get(digest)
        if known is None:
            return None
        try:
            _in_time(known[1], time.time())
        except Unauthenticated:
            del self._known[digest]
            raise
        self._known.move_to_end(digest)
        return known[1]

    async def _signed(self, token: str) -> tuple[str, Claims]:
        """Key id and claims of a token whose signature, issuer and audience are right."""
        try:
            header: dict[str, Any] = jwt.get_unverified_header(token)
        except (jwt.InvalidTokenError, ValueError, RecursionError):
            raise Unauthenticated("the access token is malformed", code=Code.TOKEN_INVALID) from None
        if header.get("alg") != ALGORITHM:
            raise Unauthenticated(f"the access token is not {ALGORITHM}", code=Code.TOKEN_INVALID)
        if "crit" in header:  # RFC 7515 section 4.1.11: no extension is understood here
            raise Unauthenticated("the access token asks for an unknown extension", code=Code.TOKEN_INVALID)
        kid = str(header.get("kid", ""))
        key = await self._key(kid)
        try:
            found = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                options={
                    "require": ["exp", "iat", "nbf", "sub", "iss", "aud", "jti"],
                    # `_in_time` does these, with every use.
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
            return kid, msgspec.convert(found, Claims)
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
        published = {key.kid: key for key in keys.keys}
        kept = {kid for kid, key in published.items() if self._published.get(kid) == key}
        if kept != self._published.keys():
            self._known = OrderedDict(item for item in self._known.items() if item[1][0] in kept)
        self._published = published
        self._keys = {kid: jwt.PyJWK(msgspec.to_builtins(key)) for kid, key in published.items()}
        self._fetched = time.monotonic()


def _digested(authorization: str | None) -> tuple[str, bytes]:
    """The token of an `Authorization` header, and its SHA-256. Raises Unauthenticated 2001."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("send an access token: Authorization: Bearer <token>")
    return token, hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _in_time(claims: Claims, now: float) -> None:
    """Raises Unauthenticated 2002 (no longer) or 2003 (not yet) unless it holds at `now`, Unix seconds."""
    if claims.exp <= now - LEEWAY_SECONDS:
        raise Unauthenticated("the access token has expired; log in again", code=Code.TOKEN_EXPIRED)
    if max(claims.nbf, claims.iat) > now + LEEWAY_SECONDS:
        raise Unauthenticated("the access token does not hold yet", code=Code.TOKEN_INVALID)


VERIFIER = web.AppKey("verifier", Verifier)
