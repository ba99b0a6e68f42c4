"""Counters of failed logins in MongoDB, `lucid.lockouts`: they outlive restarts, and nobody outruns them."""

import math
from datetime import timedelta
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from lucid.auth import lockout
from lucid.auth.account import AWARE
from lucid.kit.mongo import Database, Document

_MILLISECONDS = lockout.SECONDS * 1000
_OVER: Document = {"$lte": [{"$ifNull": ["$expires", "$$NOW"]}, "$$NOW"]}
"""Whether what was counted counts no longer: MongoDB removes it up to a minute late."""
_LATER: Document = {"$add": ["$$NOW", _MILLISECONDS]}


class Lockouts:
    """The repository of counters, each a document changed in single steps by the database's own clock."""

    def __init__(self, database: Database) -> None:
        self._counters = database.get_collection("lockouts", codec_options=AWARE)

    async def prepare(self) -> None:
        """Makes the index that removes counters that have expired."""
        await self._counters.create_index("expires", expireAfterSeconds=0)

    async def begin(self, key: str) -> int:
        """Takes one of the attempts that are left; returns 0, or the seconds to wait where none is."""
        taken = {"$add": ["$failures", "$pending"]}
        counter = await self._change(
            key,
            {
                "failures": {"$cond": [_OVER, 0, "$failures"]},
                "pending": {"$cond": [_OVER, 0, "$pending"]},
                "expires": {"$cond": [_OVER, _LATER, "$expires"]},
            },
            {"admitted": {"$lt": [taken, lockout.FAILURES]}, "at": "$$NOW"},
            {"pending": {"$add": ["$pending", {"$cond": ["$admitted", 1, 0]}]}},
        )
        if counter["admitted"]:
            return 0
        if counter["failures"] < lockout.FAILURES:
            return lockout.BUSY_SECONDS
        left: timedelta = counter["expires"] - counter["at"]
        return max(1, math.ceil(left.total_seconds()))

    async def fail(self, key: str) -> bool:
        """Ends an attempt that failed; returns whether that was the last one that was left."""
        counter = await self._change(
            key,
            {
                "failures": {"$add": [{"$ifNull": ["$failures", 0]}, 1]},
                "pending": _one_less(),
                "expires": _LATER,
            },
        )
        return bool(counter["failures"] >= lockout.FAILURES)

    async def release(self, key: str) -> None:
        """Ends an attempt that shows nothing, neither failure nor success."""
        await self._counters.update_one({"_id": key}, [{"$set": {"pending": _one_less()}}])

    async def clear(self, key: str) -> None:
        """Ends an attempt that succeeded and forgets the failures before it: the owner has come."""
        await self._counters.update_one({"_id": key}, [{"$set": {"failures": 0, "pending": _one_less()}}])

    async def _change(self, key: str, *stages: Document) -> Document:
        pipeline: list[dict[str, Any]] = [{"$set": stage} for stage in stages]
        while True:
            try:
                counter = await self._counters.find_one_and_update(
                    {"_id": key}, pipeline, upsert=True, return_document=ReturnDocument.AFTER
                )
            except DuplicateKeyError:  # somebody else was first: now there is a counter to change
                continue
            return counter or {}


def _one_less() -> Document:
    return {"$max": [0, {"$subtract": [{"$ifNull": ["$pending", 0]}, 1]}]}
