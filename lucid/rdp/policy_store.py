"""Trust policies and whose key signs them: `lucid.trust_policies` and `lucid.trust_keys`.

The key is the account's from its first policy on. Nothing here changes it: whoever has stolen a login, but
not the key, can sign nothing.
"""

from pymongo import ASCENDING, DESCENDING, ReturnDocument
from pymongo.errors import DuplicateKeyError

from lucid.contracts.rdp_manager import Policy
from lucid.kit.errors import Code, Conflict, Limited, NotFound
from lucid.kit.mongo import Database, Document

MOST = 100
"""Policies of one account."""


class PolicyStore:
    """All policies of the deployment."""

    def __init__(self, database: Database) -> None:
        self._policies = database["trust_policies"]
        self._keys = database["trust_keys"]

    async def prepare(self) -> None:
        """Makes the indexes that names and lists rest on."""
        await self._policies.create_index([("owner", ASCENDING), ("name", ASCENDING)], unique=True)
        for first in (["owner"], []):
            order = [("created_ms", DESCENDING), ("_id", DESCENDING)]
            await self._policies.create_index([*((name, ASCENDING) for name in first), *order])

    async def pin(self, owner: str, key: str, now_ms: int) -> None:
        """Makes `key` (hex) the owner's, if it has none yet. Raises Conflict 4011 if it has another."""
        found = await self._keys.find_one({"_id": owner})
        if found is None:
            try:
                await self._keys.insert_one({"_id": owner, "key": key, "since_ms": now_ms})
            except DuplicateKeyError:  # two first policies at once: one of them was the first
                found = await self._keys.find_one({"_id": owner})
        if found is not None and found["key"] != key:
            raise Conflict(
                f"your policies are signed by the key {found['key'][:16]}…, this one by {key[:16]}…; sign it"
                " with the first: copy ~/.config/lucid/owner.key from where you made your first policy, or"
                " ask an operator to release your account from a key that is lost",
                key=found["key"],
            )

    async def add(self, policy: Document) -> None:
        """A new policy. Raises Conflict 4002 if its owner has one of this name, Limited 3002."""
        if await self._policies.count_documents({"owner": policy["owner"]}, limit=MOST) >= MOST:
            raise Limited(f"an account has at most {MOST} policies; change one of yours instead")
        try:
            await self._policies.insert_one(policy)
        except DuplicateKeyError:
            raise _taken(policy["name"]) from None

    async def replace(self, policy: str, owner: str, changes: Document) -> Document:
        """Puts another version in the place of the owner's policy. Raises NotFound, Conflict 4002."""
        try:
            found = await self._policies.find_one_and_update(
                {"_id": policy, "owner": owner},
                {"$set": changes, "$inc": {"version": 1}},
                return_document=ReturnDocument.AFTER,
            )
        except DuplicateKeyError:
            raise _taken(changes["name"]) from None
        return _existing(policy, found)

    async def delete(self, policy: str, owner: str) -> None:
        """Deletes the owner's policy. Raises NotFound."""
        _existing(policy, await self._policies.find_one_and_delete({"_id": policy, "owner": owner}))

    async def get(self, policy: str) -> Document:
        """One policy. Raises NotFound."""
        return _existing(policy, await self._policies.find_one({"_id": policy}))

    async def page(self, owner: str | None, limit: int, before: Document | None) -> list[Document]:
        """Policies newest first, of one owner or of all, after `before`."""
        query: Document = {} if owner is None else {"owner": owner}
        if before is not None:
            query["$or"] = [
                {"created_ms": {"$lt": before["created_ms"]}},
                {"created_ms": before["created_ms"], "_id": {"$lt": before["_id"]}},
            ]
        cursor = self._policies.find(query).sort([("created_ms", DESCENDING), ("_id", DESCENDING)])
        return await cursor.limit(limit).to_list()


def view(policy: Document) -> Policy:
    """The policy as people see it."""
    return Policy(
        id=policy["_id"], **{name: policy[name] for name in Policy.__struct_fields__ if name in policy}
    )


def _existing(policy: str, found: Document | None) -> Document:
    if found is None:
        raise NotFound(f"there is no policy {policy}")
    return found


def _taken(name: str) -> Conflict:
    return Conflict(f"you have a policy named {name!r} already; change that one", code=Code.EXISTS)
