"""Logins that were ended while their access tokens are still out: a list kept in memory, a second old.

auth-service numbers the ends of logins in the order in which they became true. Whoever checks tokens asks for
those after the last number it has seen. A list that cannot be kept fresh lets nobody in: the answer is 503,
which is neither a yes to a token that was taken back nor a 401 to one that holds.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

import msgspec
from aiohttp import web

from lucid.kit.errors import Code, LucidError, Unauthenticated, Unavailable
from lucid.kit.logs import log
from lucid.kit.tasks import TASKS
from lucid.kit.tokens import LEEWAY_SECONDS, Claims

POLL_SECONDS = 1.0
STALE_SECONDS = 30.0
"""A list older than this is not trusted any more."""


class RevocationsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The number seen last; 0 for all."""

    after: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] = 0


class Revocation(msgspec.Struct, frozen=True, kw_only=True):
    """The end of one login."""

    number: int
    """From 1, in the order in which they became true."""
    session: str
    """The login's id, `sid` in its access tokens."""
    expires: int
    """Unix seconds after which no token of the login is left."""


class RevocationPage(msgspec.Struct, frozen=True, kw_only=True):
    """Ends of logins, by number."""

    revocations: tuple[Revocation, ...]
    last: int
    """The highest number given so far; 0 if there is none."""


Fetch = Callable[[int], Awaitable[RevocationPage]]
"""Brings some of the ends of logins after a number, lowest first; none when there are no more."""


class Revocations:
    """The list. `follow` keeps it fresh, `check` reads it."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._expires: dict[str, int] = {}
        """By login's id."""
        self._cursor = 0
        self._fresh = float("-inf")
        """When the list was last asked for with success, monotonic seconds."""
        self._begun = 0
        self._lock = asyncio.Lock()

    def check(self, claims: Claims) -> None:
        """Raises Unauthenticated 2009 for a login that was ended, Unavailable 5008 where nobody can say."""
        if time.monotonic() - self._fresh > STALE_SECONDS:
            raise Unavailable("which logins were ended cannot be had from auth-service; try again")
        if claims.sid in self._expires:
            raise Unauthenticated("this login was ended; log in again", code=Code.LOGIN_ENDED)

    async def refresh(self) -> None:
        """Returns with a list asked for after this call; callers at the same time share one fetch.

        Raises LucidError if it cannot be had.
        """
        seen = self._begun
        async with self._lock:
            if self._begun == seen:
                await self._update()

    async def follow(self) -> None:
        """Keeps the list fresh until cancelled."""
        failing = False
        while True:
            try:
                await self.refresh()
                failing = False
            except LucidError as error:
                if not failing:
                    log.warning("ends of logins cannot be had", error=error.message)
                failing = True
            await asyncio.sleep(POLL_SECONDS)

    async def _update(self) -> None:
        self._begun += 1
        asked = time.monotonic()
        while True:
            page = await self._fetch(self._cursor)
            if page.last < self._cursor:
                self._cursor = 0  # the numbers began anew: the database was replaced
                continue
            if not page.revocations:
                break
            self._expires |= {each.session: each.expires for each in page.revocations}
            self._cursor = page.revocations[-1].number
        self._fresh = asked
        now = time.time() - LEEWAY_SECONDS
        if any(expires < now for expires in self._expires.values()):
            self._expires = {s: expires for s, expires in self._expires.items() if expires >= now}


REVOCATIONS = web.AppKey("revocations", Revocations)


def context(feed: Revocations) -> Callable[[web.Application], AsyncIterator[None]]:
    """A cleanup context that puts the feed under REVOCATIONS and keeps it fresh while the service runs."""

    async def following(app: web.Application) -> AsyncIterator[None]:
        app[REVOCATIONS] = feed
        app[TASKS].start("revocations", feed.follow)
        yield

    return following
