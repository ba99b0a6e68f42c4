"""What befalls sessions after their end, in `lucid_sessions.sessions`: holds, and how far an erasure is.

`held` is the legal hold. `erasing_ms` is when the erasure was decided; from then on it cannot be stopped.
`erasure` is what it has done so far: `reason`, then `erased_ms` once key and files are gone, then the signed
tombstone as `envelope`. State `deleted` and `erased_ms` come last.
"""

from pymongo import ReturnDocument

from lucid.kit.errors import Code, Conflict, NotFound
from lucid.kit.mongo import Database, Document
from lucid.sessions import retention
from lucid.sessions.states import SESSION


class LifeStore:
    """The sessions of the deployment, as erasure and holds see them."""

    def __init__(self, database: Database) -> None:
        self._sessions = database["sessions"]

    async def prepare(self) -> None:
        """Makes the index that finds erasures under way."""
        await self._sessions.create_index(
            [("erasing_ms", 1)], partialFilterExpression={"erasing_ms": {"$type": "number"}}
        )

    async def begin_erasure(self, session: str, reason: str, now_ms: int) -> Document:
        """Decides that the recording is erased; decided once, it is left at that.

        Raises Conflict 4007 under a hold or in a state that does not allow it, NotFound.
        """
        change = {"$set": {"erasing_ms": now_ms, "erasure": {"reason": reason}}}
        begun = await self._sessions.find_one_and_update(
            retention.may_be_erased(session), change, return_document=ReturnDocument.AFTER
        )
        if begun is not None:
            return begun
        record = await self._get(session)
        if record.get("erasing_ms") is None:
            retention.require_erasable(record)
            raise Conflict("the session changed meanwhile; ask again", code=Code.SESSION_STATE)
        return record

    async def set_hold(self, session: str, *, held: bool) -> Document:
        """Begins or ends a legal hold. Raises Conflict 4007 once the erasure is decided, NotFound."""
        found = await self._sessions.find_one_and_update(
            {"_id": session, "erasing_ms": None},
            {"$set": {"held": held}},
            return_document=ReturnDocument.AFTER,
        )
        if found is None:
            await self._get(session)
            raise Conflict(
                f"the recording of session {session} is erased already; there is nothing to hold",
                code=Code.SESSION_STATE,
            )
        return found

    async def expired(self, now_ms: int) -> list[str]:
        """Sessions whose time is over and that nothing protects."""
        found = await self._sessions.find(retention.expired(now_ms), {"_id": 1}).to_list()
        return [record["_id"] for record in found]

    async def erasing(self) -> list[Document]:
        """Sessions whose erasure is decided and not yet at its end."""
        query = {"erasing_ms": {"$type": "number"}, "state": {"$ne": "deleted"}}
        return await self._sessions.find(query).to_list()

    async def set_destroyed(self, session: str, erased_ms: int) -> None:
        """Notes that key and files are gone, the key since `erased_ms`."""
        await self._sessions.update_one({"_id": session}, {"$set": {"erasure.erased_ms": erased_ms}})

    async def keep_tombstone(self, session: str, envelope: bytes) -> bytes:
        """Keeps the signed tombstone before it is sent; returns the one that was there first."""
        await self._sessions.update_one(
            {"_id": session, "erasure.envelope": {"$exists": False}},
            {"$set": {"erasure.envelope": envelope.decode()}},
        )
        kept: str = (await self._get(session))["erasure"]["envelope"]
        return kept.encode()

    async def finish_erasure(self, session: str, erased_ms: int) -> None:
        """The end: the session is deleted."""
        await self._sessions.update_one(
            {"_id": session, "state": {"$in": sorted(SESSION.sources("deleted"))}},
            {"$set": {"state": "deleted", "erased_ms": erased_ms}},
        )

    async def _get(self, session: str) -> Document:
        found = await self._sessions.find_one({"_id": session})
        if found is None:
            raise NotFound(f"there is no session {session}")
        return found
