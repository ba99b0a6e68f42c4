"""Records of stored chunks: `lucid_sessions.chunks`, one for each (session, track, index).

Of an erased session, which `lucid_sessions.erased` names, the records stay and say since when the files are
gone.
"""

from collections.abc import AsyncIterator

from pymongo import ASCENDING, ReturnDocument
from pymongo.errors import DuplicateKeyError

from lucid.evidence.leaf import ChunkId, Leaf
from lucid.kit.errors import Conflict
from lucid.kit.mongo import Database, Document

BATCH = 500
"""Records held at once where all of a session's are read; left to itself, MongoDB sends up to 16 MiB."""


class ChunkRecords:
    """First record wins; what it says never changes."""

    def __init__(self, database: Database) -> None:
        self._chunks = database["chunks"]
        self._erased = database["erased"]

    async def prepare(self) -> None:
        """Makes the index that keeps a session's tree in order."""
        await self._chunks.create_index([("session", ASCENDING), ("sequence", ASCENDING)], unique=True)

    async def find(self, chunk: ChunkId) -> Document | None:
        """The chunk's record."""
        return await self._chunks.find_one({"_id": _key(chunk)})

    async def insert(self, leaf: Leaf, encoded: bytes, sequence: int, now_ms: int) -> Document | None:
        """Records a chunk with a majority write. Returns the record that was there first, or None.

        Raises Conflict when another chunk has its place in the tree.
        """
        record = {
            "_id": _key(leaf.chunk),
            "session": leaf.session,
            "sequence": sequence,
            "leaf": encoded.decode(),
            "sealed_size": leaf.sealed_size,
            "stored_ms": now_ms,
        }
        try:
            await self._chunks.insert_one(record)
        except DuplicateKeyError:
            first = await self.find(leaf.chunk)
            if first is None:
                raise Conflict(
                    f"place {sequence} in the tree of {leaf.session} belongs to another chunk"
                ) from None
            return first
        return None

    async def leaves(self, session: str) -> AsyncIterator[bytes]:
        """The session's leaves in tree order."""
        cursor = self._chunks.find({"session": session}, {"leaf": 1}, batch_size=BATCH)
        async for record in cursor.sort("sequence", ASCENDING):
            yield record["leaf"].encode()

    async def erase(self, session: str, now_ms: int) -> int:
        """Marks the session as erased, then each of its chunks; returns since when. May be repeated."""
        marker = await self._erased.find_one_and_update(
            {"_id": session},
            {"$setOnInsert": {"erased_ms": now_ms}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        if marker is None:
            raise LookupError(f"the erasure of session {session} has vanished from MongoDB")
        erased_ms: int = marker["erased_ms"]
        await self._chunks.update_many({"session": session}, {"$set": {"erased_ms": erased_ms}})
        return erased_ms

    async def erased_ms(self, session: str) -> int | None:
        """Since when the session is erased; None if it is not."""
        marker = await self._erased.find_one({"_id": session})
        return marker["erased_ms"] if marker else None

    async def arrivals(self, session: str) -> list[int]:
        """When each of the session's chunks was recorded, in tree order."""
        cursor = self._chunks.find({"session": session}, {"stored_ms": 1}, batch_size=BATCH)
        return [record["stored_ms"] async for record in cursor.sort("sequence", ASCENDING)]

    async def totals(self) -> tuple[int, int]:
        """Number of chunks that have files, and the bytes of these."""
        kept = {"erased_ms": {"$exists": False}}
        group = {"_id": None, "chunks": {"$sum": 1}, "bytes": {"$sum": "$sealed_size"}}
        async for row in await self._chunks.aggregate([{"$match": kept}, {"$group": group}]):
            return row["chunks"], row["bytes"]
        return 0, 0


def _key(chunk: ChunkId) -> str:
    return f"{chunk.session}/{chunk.track}/{chunk.index}"
