"""Sessions: `lucid_sessions.sessions`. States change only along the machine's transitions, atomically."""

from typing import Any

from pymongo import DESCENDING, ReturnDocument
from pymongo.errors import DuplicateKeyError

from lucid.contracts.session_api import Session
from lucid.kit.errors import Code, Conflict, NotFound
from lucid.kit.mongo import Database, Document
from lucid.sessions.states import SESSION, TransitionError

ACTIVE = ("starting", "recording", "paused", "stopped", "processing")
"""States in which somebody has to look after the session."""


WITHOUT_TRUST = {"trust": 0}
"""The fields of a record where many are read: a trust policy may be large."""


class SessionStore:
    """All sessions of the deployment."""

    def __init__(self, database: Database) -> None:
        self._sessions = database["sessions"]

    async def prepare(self) -> None:
        """Makes the indexes that lists and the follower use."""
        await self._sessions.create_index([("owner", 1), ("created_ms", DESCENDING), ("_id", DESCENDING)])
        await self._sessions.create_index([("state", 1)])

    async def insert(self, session: Document) -> None:
        """A new session."""
        await self._sessions.insert_one(session)

    async def insert_once(self, session: Document) -> Document:
        """A new session, or the one that has its id already."""
        try:
            await self._sessions.insert_one(session)
        except DuplicateKeyError:
            return await self.get(session["_id"])
        return session

    async def get(self, session: str) -> Document:
        """One session. Raises NotFound."""
        found = await self._sessions.find_one({"_id": session})
        if found is None:
            raise NotFound(f"there is no session {session}")
        return found

    async def page(
        self,
        chosen: Document,
        limit: int,
        before: Document | None,
        created: tuple[int | None, int | None] = (None, None),
    ) -> list[Document]:
        """Sessions newest first whose fields are as `chosen`, after `before`.

        `created`: made at or after the first time, before the second, milliseconds since the Unix epoch.
        """
        query: Document = dict(chosen)
        limits = {"$gte": created[0], "$lt": created[1]}
        if bounds := {name: value for name, value in limits.items() if value is not None}:
            query["created_ms"] = bounds
        if before is not None:
            query["$or"] = [
                {"created_ms": {"$lt": before["created_ms"]}},
                {"created_ms": before["created_ms"], "_id": {"$lt": before["_id"]}},
            ]
        cursor = self._sessions.find(query, WITHOUT_TRUST).sort(
            [("created_ms", DESCENDING), ("_id", DESCENDING)]
        )
        return await cursor.limit(limit).to_list()

    async def active(self) -> list[Document]:
        """Sessions that somebody has to look after."""
        return await self._sessions.find({"state": {"$in": list(ACTIVE)}}, WITHOUT_TRUST).to_list()

    async def move(self, session: str, target: str, **changes: Any) -> Document:
        """Moves a session to `target` if its state allows that. Raises Conflict 4007, NotFound."""
        moved = await self._sessions.find_one_and_update(
            {"_id": session, "state": {"$in": sorted(SESSION.sources(target))}},
            {"$set": {"state": target, **changes}},
            return_document=ReturnDocument.AFTER,
        )
        if moved is None:
            state = (await self.get(session))["state"]
            check(state, target)
            raise Conflict("the session changed meanwhile; ask again", code=Code.SESSION_STATE, state=state)
        return moved

    async def bring(self, session: str, target: str, **changes: Any) -> Document:
        """As `move`, but content where the follower was quicker and the session is further on already."""
        try:
            return await self.move(session, target, **changes)
        except Conflict:
            current = await self.get(session)
            if current["state"] not in SESSION.beyond(target):
                raise
            return current

    async def change(self, session: Document, changes: Document, *, only_created: bool) -> Document:
        """Changes what its owner may change; with `only_created`, before it is started. Raises Conflict."""
        query: Document = {"_id": session["_id"], "state": {"$ne": "deleted"}}
        if only_created:
            # What the hash was made of must be what is stored: two changes at once would contradict it.
            query |= {"state": SESSION.first, "policy_sha256": session["policy_sha256"]}
        changed = await self._sessions.find_one_and_update(
            query, {"$set": changes}, return_document=ReturnDocument.AFTER
        )
        if changed is None:
            state = (await self.get(session["_id"]))["state"]
            raise Conflict(
                f"the session is {state}: how it is recorded can be changed only while it is created,"
                " its name until it is deleted",
                code=Code.SESSION_STATE,
                state=state,
            )
        return changed

    async def grow(self, session: str, **figures: int) -> None:
        """Brings figures up that only grow: an answer that is older than what is known takes nothing back."""
        await self._sessions.update_one({"_id": session}, {"$max": figures})


def check(state: str, target: str) -> None:
    """Raises Conflict 4007 where a session in `state` may not become `target`."""
    try:
        SESSION.check(state, target)
    except TransitionError as error:
        raise Conflict(str(error), code=Code.SESSION_STATE, state=state) from None


def view(record: Document) -> Session:
    """The session as people see it."""
    return Session(
        id=record["_id"],
        **{name: record[name] for name in Session.__struct_fields__ if name in record},
    )
