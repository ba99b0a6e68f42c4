"""What happened to accounts, in MongoDB: `lucid.audit`. Events are added and read, never changed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from bson import ObjectId

from lucid.auth import clock
from lucid.auth.account import AWARE
from lucid.kit.mongo import Database, Document

KEEP_SECONDS = 400 * 24 * 3600
"""A year and a month; then MongoDB removes an event."""

Outcome = Literal["done", "refused"]


class Event(NamedTuple):
    """One event. Holds no secret, and nothing that somebody typed into a login."""

    id: str
    at: datetime
    event: str
    outcome: str
    user: str | None
    by: str | None
    client: str
    details: Mapping[str, str]


class Audit:
    """The repository of events."""

    def __init__(self, database: Database) -> None:
        self._events = database.get_collection("audit", codec_options=AWARE)

    async def prepare(self) -> None:
        """Makes the indexes that find a user's events and remove old ones."""
        await self._events.create_index("at", expireAfterSeconds=KEEP_SECONDS)
        await self._events.create_index({"user": 1, "_id": -1})

    async def add(
        self,
        event: str,
        outcome: Outcome,
        *,
        user: str | None,
        by: str | None,
        client: str,
        details: Mapping[str, str],
    ) -> None:
        """Adds an event of this moment."""
        await self._events.insert_one(
            {
                "at": clock.now(), "event": event, "outcome": outcome, "user": user, "by": by,
                "client": client, "details": dict(details),
            }
        )  # fmt: skip

    async def page(self, user: str | None, before: str | None, limit: int) -> Sequence[Event]:
        """The newest events, of one user if so asked, before the event with that id."""
        wanted: Document = {} if user is None else {"user": user}
        if before is not None:
            wanted["_id"] = {"$lt": ObjectId(before)}
        found = self._events.find(wanted).sort("_id", -1).limit(limit)
        return [Event(str(document.pop("_id")), **document) async for document in found]
