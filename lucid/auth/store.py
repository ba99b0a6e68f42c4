"""Accounts in MongoDB: `lucid.users`, one document for each, found by id or by mail address."""

from datetime import UTC, datetime

import msgspec
from bson.codec_options import CodecOptions
from pymongo import ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from lucid.kit.errors import Code, Conflict, Forbidden, NotFound
from lucid.kit.mongo import Database, Document
from lucid.kit.routes import Access

FOUNDER = "founder"
"""Set in the one account that the bootstrap token made; a unique index keeps it to one."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A document of `lucid.users`."""

    id: str = msgspec.field(name="_id")
    email: str
    """In lower case."""
    role: str
    password: str
    """Argon2id hash, PHC string format."""
    created: datetime
    """UTC, to the millisecond."""

    def __repr__(self) -> str:
        return f"Account(id={self.id!r}, role={self.role!r})"


class Accounts:
    """The repository of accounts."""

    def __init__(self, database: Database) -> None:
        self._client = database.client
        self._users = database.get_collection(
            "users", codec_options=CodecOptions(tz_aware=True, tzinfo=UTC, document_class=Document)
        )

    async def prepare(self) -> None:
        """Makes the indexes that uniqueness rests on; to be done before the first account is added."""
        await self._users.create_index("email", unique=True)
        await self._users.create_index(
            FOUNDER, unique=True, partialFilterExpression={FOUNDER: {"$exists": True}}
        )

    async def add(self, account: Account, *, founder: bool) -> None:
        """Stores a new account. Raises Conflict 4002 if the address, or the founder's place, is taken."""
        document = msgspec.to_builtins(account, builtin_types=(datetime,)) | (
            {FOUNDER: True} if founder else {}
        )
        try:
            await self._users.insert_one(document)
        except DuplicateKeyError as error:
            if FOUNDER in (error.details or {}).get("keyPattern", {}):
                raise Conflict(
                    "the bootstrap token has made its account already; a super_admin gives further roles",
                    code=Code.EXISTS,
                ) from None
            raise Conflict("there is an account with this mail address", code=Code.EXISTS) from None

    async def by_email(self, email: str) -> Account | None:
        """The account with this address (lower case), or None."""
        return _account(await self._users.find_one({"email": email}))

    async def by_id(self, user: str) -> Account | None:
        """The account with this id, or None."""
        return _account(await self._users.find_one({"_id": user}))

    async def change_role(self, user: str, role: str, *, by: str) -> Account:
        """Gives `user` a role on behalf of the super_admin `by`, and returns the account as it then is.

        Raises NotFound, or Forbidden if `by` is no super_admin any more or is `user`: so there is always one
        left, also when two take the role from each other at the same moment.
        """
        if user == by:
            raise Forbidden("nobody changes a role of their own; ask another super_admin")

        async def change(session: AsyncClientSession) -> Account:
            # A write to the actor's own document, not a read: two who demote each other then conflict.
            actor = await self._users.update_one(
                {"_id": by, "role": Access.SUPER_ADMIN.role}, {"$inc": {"roles_given": 1}}, session=session
            )
            if actor.matched_count == 0:
                raise Forbidden(f"this needs the role {Access.SUPER_ADMIN.role}, which you no longer have")
            changed = _account(
                await self._users.find_one_and_update(
                    {"_id": user},
                    {"$set": {"role": role}},
                    return_document=ReturnDocument.AFTER,
                    session=session,
                )
            )
            if changed is None:
                raise NotFound("there is no such account")
            return changed

        async with self._client.start_session() as session:
            return await session.with_transaction(change)


def _account(document: Document | None) -> Account | None:
    return None if document is None else msgspec.convert(document, Account)
