"""Logins in MongoDB, `lucid.login_sessions`, and refresh tokens, by which they go on, `lucid.refresh_tokens`.

A login begins, goes on and ends in transactions that also touch the account or the list of revocations: one
that is ended by a new role or a new password cannot slip through by beginning or going on at the same moment.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
from pymongo import ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession

from lucid.auth import clock
from lucid.auth.account import AWARE, Account, from_document
from lucid.auth.opaque import digest, new_secret
from lucid.auth.revocation_store import RevocationLog
from lucid.kit.errors import Code, Unauthenticated
from lucid.kit.mongo import Database, Document

REFRESH_SECONDS = 7 * 24 * 3600
_REFRESH = timedelta(seconds=REFRESH_SECONDS)
_END: Document = {"$set": {"active": False}}


class LoginSession(msgspec.Struct, frozen=True, kw_only=True):
    """A document of `lucid.login_sessions`. Services delete nothing: one that was ended stays, not active."""

    id: str = msgspec.field(name="_id")
    user: str
    method: str
    client: str
    created: datetime
    seen: datetime
    expires: datetime
    active: bool = True


class Going(NamedTuple):
    """A login that begins or goes on."""

    account: Account
    """As it is now."""
    session: LoginSession
    refresh_token: str


class ReusedError(Unauthenticated):
    """A refresh token came twice: it was stolen, and its login has been ended."""

    default = Code.REFRESH_INVALID

    def __init__(self, session: LoginSession | None) -> None:
        super().__init__("this refresh token was used before; its login is ended, log in again")
        self.session = session
        """The login, if it was still there to be ended."""


class LoginSessions:
    """The repository of logins."""

    def __init__(self, database: Database) -> None:
        self._client = database.client
        self._users = database.get_collection("users", codec_options=AWARE)
        self._sessions = database.get_collection("login_sessions", codec_options=AWARE)
        self._tokens = database.get_collection("refresh_tokens", codec_options=AWARE)
        self.revocations = RevocationLog(database)

    async def prepare(self) -> None:
        """Makes the indexes that find a user's logins and remove what has expired."""
        await self._sessions.create_index("user")
        for collection in (self._sessions, self._tokens):
            await collection.create_index("expires", expireAfterSeconds=0)
        await self.revocations.prepare()

    async def begin(self, account: Account, method: str, client: str) -> Going:
        """A new login of an account that has proved itself.

        Raises Unauthenticated if password, role or suspension have changed since the account was read.
        """
        now = clock.now()
        login = LoginSession(
            id=str(uuid.uuid4()),
            user=account.id,
            method=method,
            client=client,
            created=now,
            seen=now,
            expires=now + _REFRESH,
        )

        async def start(transaction: AsyncClientSession) -> str:
            # A write, so that a change of the account at the same moment conflicts with it.
            proved = {
                "_id": account.id,
                "role": account.role,
                "password": account.password,
                "suspended": {"$ne": True},
            }
            same = await self._users.update_one(proved, {"$set": {"seen": now}}, session=transaction)
            if not same.matched_count:
                raise Unauthenticated("the account was changed while you logged in; log in again")
            document = msgspec.to_builtins(login, builtin_types=(datetime,))
            await self._sessions.insert_one(document, session=transaction)
            return await self._give(login, transaction)

        async with self._client.start_session() as session:
            return Going(account, login, await session.with_transaction(start))

    async def go_on(self, refresh_token: str) -> Going:
        """Exchanges a refresh token, once.

        One that comes a second time ends the login: either its holder or a thief has the one after it, and
        nobody can tell which. No time of grace is given to a holder who repeats a request whose answer was
        lost: a thief could use it as well.

        Raises ReusedError, Unauthenticated 2009 for a login that has ended, 2010 for an unknown or old token.
        """
        name = digest(refresh_token)
        now = clock.now()

        async def exchange(transaction: AsyncClientSession) -> Going | None:
            token = await self._tokens.find_one_and_update(
                {"_id": name, "used": False, "expires": {"$gt": now}},
                {"$set": {"used": True}},
                session=transaction,
            )
            if token is None:
                return None
            # A write: the end of the login at the same moment conflicts with it.
            found = await self._sessions.find_one_and_update(
                {"_id": token["session"], "active": True},
                {"$set": {"seen": now, "expires": now + _REFRESH}},
                return_document=ReturnDocument.AFTER,
                session=transaction,
            )
            account = from_document(
                await self._users.find_one({"_id": found["user"]}, session=transaction) if found else None
            )
            if account is None:
                raise Unauthenticated("this login was ended; log in again", code=Code.LOGIN_ENDED)
            login = msgspec.convert(found, LoginSession)
            return Going(account, login, await self._give(login, transaction))

        async with self._client.start_session() as session:
            going = await session.with_transaction(exchange)
        if going is None:
            known = await self._tokens.find_one({"_id": name, "used": True})
            if known is not None:
                raise ReusedError(await self.end(known["session"]))
            raise Unauthenticated(
                "the refresh token is unknown or has expired; log in again", code=Code.REFRESH_INVALID
            )
        return going

    async def end(self, login: str, user: str | None = None) -> LoginSession | None:
        """Ends a login, of `user` if one is given, and returns it; None if there is none."""

        async def finish(transaction: AsyncClientSession) -> LoginSession | None:
            mine = {"_id": login, "active": True} | ({} if user is None else {"user": user})
            found = await self._sessions.find_one_and_update(mine, _END, session=transaction)
            if found is None:
                return None
            await self.revocations.add([login], clock.now(), transaction)
            return msgspec.convert(found, LoginSession)

        async with self._client.start_session() as session:
            return await session.with_transaction(finish)

    async def end_all(self, user: str, transaction: AsyncClientSession, *, but: str | None = None) -> None:
        """Ends a user's logins, except one, in a transaction that also writes the user's account."""
        active: Document = {"user": user, "active": True, "_id": {"$ne": but}}
        ended = [document["_id"] async for document in self._sessions.find(active, session=transaction)]
        await self._sessions.update_many({"_id": {"$in": ended}}, _END, session=transaction)
        await self.revocations.add(ended, clock.now(), transaction)

    async def of_user(self, user: str, limit: int, offset: int) -> tuple[Sequence[LoginSession], int]:
        """A page of a user's logins, those seen last first, and how many there are."""
        mine: Document = {"user": user, "active": True, "expires": {"$gt": clock.now()}}
        found = self._sessions.find(mine).sort({"seen": -1, "_id": 1}).skip(offset).limit(limit)
        page = [msgspec.convert(document, LoginSession) async for document in found]
        return page, await self._sessions.count_documents(mine)

    async def _give(self, login: LoginSession, transaction: AsyncClientSession) -> str:
        secret = new_secret()
        token = {"_id": digest(secret), "session": login.id, "used": False, "expires": login.expires}
        await self._tokens.insert_one(token, session=transaction)
        return secret
