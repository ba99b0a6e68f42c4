"""Accounts in MongoDB: `lucid.users`, one document for each, found by id, mail address or wallet."""

from collections.abc import Awaitable, Callable

from pymongo import ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from lucid.auth.account import AWARE, Account, from_document, to_document
from lucid.auth.seeds import Seeds
from lucid.auth.session_store import LoginSessions
from lucid.kit.errors import Code, Conflict, Forbidden, NotFound
from lucid.kit.mongo import Database, Document
from lucid.kit.routes import Access

FOUNDER = "founder"
"""Set in the one account that the bootstrap token made; a unique index keeps it to one."""
_TAKEN = {
    FOUNDER: "the bootstrap token has made its account already; a super_admin gives further roles",
    "email": "there is an account with this mail address",
    "wallet": "this wallet belongs to an account already",
}


class Accounts:
    """The repository of accounts. Whatever changes who may do what ends logins in the same transaction."""

    def __init__(self, database: Database, logins: LoginSessions) -> None:
        self._client = database.client
        self._users = database.get_collection("users", codec_options=AWARE)
        self._logins = logins

    async def prepare(self) -> None:
        """Makes the indexes that uniqueness rests on; to be done before the first account is added."""
        await self._users.create_index("email", unique=True)
        for name in (FOUNDER, "wallet"):
            await self._users.create_index(
                name, unique=True, partialFilterExpression={name: {"$exists": True}}
            )

    async def add(self, account: Account, *, founder: bool) -> None:
        """Stores a new account. Raises Conflict 4002 if the address, or the founder's place, is taken."""
        document = to_document(account) | ({FOUNDER: True} if founder else {})
        try:
            await self._users.insert_one(document)
        except DuplicateKeyError as error:
            raise _taken(error) from None

    async def by_email(self, email: str) -> Account | None:
        """The account with this address (lower case), or None."""
        return from_document(await self._users.find_one({"email": email}))

    async def by_id(self, user: str) -> Account | None:
        """The account with this id, or None."""
        return from_document(await self._users.find_one({"_id": user}))

    async def by_wallet(self, address: str) -> Account | None:
        """The account that this wallet may log in to, or None."""
        return from_document(await self._users.find_one({"wallet": address}))

    async def change_role(self, user: str, role: str, *, by: str) -> Account:
        """Gives `user` a role on behalf of the super_admin `by`, ends its logins and returns the account.

        Raises NotFound, or Forbidden if `by` is no super_admin any more or is `user`: so there is always one
        left, also when two take the role from each other at the same moment.
        """
        if user == by:
            raise Forbidden("nobody changes a role of their own; ask another super_admin")

        async def change(transaction: AsyncClientSession) -> Account:
            await self._acting(by, Access.SUPER_ADMIN, transaction)
            changed = await self._set(user, {"role": role}, transaction)
            await self._logins.end_all(user, transaction)
            return changed

        return await self._together(change)

    async def suspend(self, user: str, suspended: bool, *, by: str) -> Account:
        """Keeps `user` out on behalf of the admin `by`, ending its logins, or lets it in again.

        Raises NotFound, or Forbidden unless `by` is an admin of higher rank, or a super_admin and not `user`.
        """
        return await self._change_below(user, {"suspended": suspended}, by=by, ends_logins=suspended)

    async def remove_second_factor(self, user: str, *, by: str) -> Account:
        """Takes away what `user` has lost on behalf of the admin `by`, and ends its logins.

        Raises as `suspend`.
        """
        return await self._change_below(user, {"mfa": {}}, by=by, ends_logins=True)

    async def update(self, account: Account, changes: Document, *, keep: str) -> Account:
        """Changes mail address or password of `account` and ends its logins, except `keep`.

        Raises Conflict 4002 if the address is taken, 4011 if the password has changed meanwhile.
        """

        async def change(transaction: AsyncClientSession) -> Account:
            changed = await self._set(
                account.id,
                changes,
                transaction,
                {"password": account.password},
                missing=Conflict("the password was changed meanwhile; try again"),
            )
            await self._logins.end_all(account.id, transaction, but=keep)
            return changed

        return await self._together(change)

    async def link_wallet(self, user: str, address: str | None) -> Account:
        """Lets a wallet log in, or none. Raises Conflict 4002 if it may log in to another account."""
        change: Document = {"$set": {"wallet": address}} if address else {"$unset": {"wallet": ""}}
        try:
            found = await self._users.find_one_and_update(
                {"_id": user}, change, return_document=ReturnDocument.AFTER
            )
        except DuplicateKeyError as error:
            raise _taken(error) from None
        return _existing(from_document(found))

    async def offer_seed(self, user: str, sealed: bytes) -> None:
        """Keeps a seed that counts once a code of it has been seen, in place of one offered before."""
        await self._users.update_one({"_id": user}, {"$set": {"mfa.pending": sealed}})

    async def activate_seed(self, user: str, sealed: bytes, step: int, recovery: list[str]) -> bool:
        """Makes the offered seed count, with new recovery codes; False if it is not the one offered."""
        active = {"seed": sealed, "step": step, "recovery": recovery}
        done = await self._users.update_one({"_id": user, "mfa.pending": sealed}, {"$set": {"mfa": active}})
        return done.modified_count == 1

    async def use_step(self, user: str, sealed: bytes, step: int) -> bool:
        """Takes the code of a step of the active seed: of all who bring it, from one, once."""
        done = await self._users.update_one(
            {"_id": user, "mfa.seed": sealed, "mfa.step": {"$lt": step}}, {"$set": {"mfa.step": step}}
        )
        return done.modified_count == 1

    async def use_recovery(self, user: str, digest: str) -> bool:
        """Takes a recovery code: of all who bring it, from one, once."""
        done = await self._users.update_one(
            {"_id": user, "mfa.recovery": digest}, {"$pull": {"mfa.recovery": digest}}
        )
        return done.modified_count == 1

    async def reseal(self, seeds: Seeds) -> int:
        """Seals every seed under the current key and returns how many were not. Raises LucidError 5004."""
        renewed = 0
        for name in ("seed", "pending"):
            field = f"mfa.{name}"
            async for document in self._users.find({field: {"$exists": True}}, {field: 1}):
                sealed = document["mfa"][name]
                if (fresh := seeds.renewed(document["_id"], sealed)) is not None:
                    await self._users.update_one(
                        {"_id": document["_id"], field: sealed}, {"$set": {field: fresh}}
                    )
                    renewed += 1
        return renewed

    async def _change_below(self, user: str, changes: Document, *, by: str, ends_logins: bool) -> Account:
        if user == by:
            raise Forbidden("nobody does this to an account of their own; ask another admin")

        async def change(transaction: AsyncClientSession) -> Account:
            actor = await self._acting(by, Access.ADMIN, transaction)
            changed = await self._set(user, changes, transaction)
            if actor < Access.SUPER_ADMIN and rank(changed) >= actor:
                raise Forbidden(f"to an account with the role {changed.role} only a super_admin does this")
            if ends_logins:
                await self._logins.end_all(user, transaction)
            return changed

        return await self._together(change)

    async def _acting(self, by: str, needed: Access, transaction: AsyncClientSession) -> Access:
        """The stored rank of whoever acts. Raises Forbidden if it is below what is needed."""
        # A write to the actor's own document, not a read: two who demote each other then conflict.
        actor = from_document(
            await self._users.find_one_and_update(
                {"_id": by, "suspended": {"$ne": True}}, {"$inc": {"acted": 1}}, session=transaction
            )
        )
        if actor is None or rank(actor) < needed:
            raise Forbidden(f"this needs the role {needed.role}, which you no longer have")
        return rank(actor)

    async def _set(
        self,
        user: str,
        changes: Document,
        transaction: AsyncClientSession,
        condition: Document | None = None,
        *,
        missing: Exception | None = None,
    ) -> Account:
        try:
            found = await self._users.find_one_and_update(
                {"_id": user, **(condition or {})},
                {"$set": changes},
                return_document=ReturnDocument.AFTER,
                session=transaction,
            )
        except DuplicateKeyError as error:
            raise _taken(error) from None
        return _existing(from_document(found), missing)

    async def _together(self, change: Callable[[AsyncClientSession], Awaitable[Account]]) -> Account:
        async with self._client.start_session() as session:
            return await session.with_transaction(change)


def rank(account: Account) -> Access:
    """The account's role as a rank."""
    return Access[account.role.upper()]


def _existing(account: Account | None, otherwise: Exception | None = None) -> Account:
    if account is None:
        raise otherwise or NotFound("there is no such account")
    return account


def _taken(error: DuplicateKeyError) -> Conflict:
    (field,) = (error.details or {})["keyPattern"]
    return Conflict(_TAKEN[field], code=Code.EXISTS)
