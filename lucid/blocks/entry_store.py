"""The entries of the log and those on their way to it: collection `entries`.

One document is an entry's whole life: pending, then final or refused. Its `_id` is its leaf hash, so that an
entry cannot be there twice. `order` is the order of arrival, `index` the place in the log once it is final.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from pymongo import InsertOne, UpdateOne
from pymongo.errors import DuplicateKeyError

from lucid.blocks.bulk import write_unless_there
from lucid.blocks.entries import LogEntry, entry_hash
from lucid.blocks.sequence import take_numbers
from lucid.kit.mongo import Database, Document

EntryState = Literal["pending", "final", "refused"]

_LOOKUP = 10_000
"""Hashes in one query: far below the size limit of a query document."""


@dataclass(frozen=True, slots=True)
class EntryRecord:
    """An entry as it is stored."""

    hash: str
    data: bytes
    state: EntryState
    transaction: str
    """Hash of the transaction that it came with."""
    arrived_ms: int
    index: int | None = None
    height: int | None = None
    reason: str | None = None


class EntryStore:
    """Repository of entries."""

    def __init__(self, database: Database) -> None:
        self._counters = database["meta"]
        self._entries = database["entries"]

    async def prepare(self) -> None:
        """Make the indexes that are missing."""
        await self._entries.create_index("order", partialFilterExpression={"state": "pending"})
        await self._entries.create_index(
            "index", unique=True, partialFilterExpression={"index": {"$exists": True}}
        )

    async def add(self, transaction: str, entries: Sequence[LogEntry], now_ms: int) -> None:
        """Store entries that are new as pending. A refused one waits again: the chain may have moved on."""
        hashes = [entry.hash for entry in entries]
        states = {
            found["_id"]: found["state"]
            async for found in self._entries.find({"_id": {"$in": hashes}}, {"state": 1})
        }
        first = await take_numbers(self._counters, "entries", len(entries))
        writes: list[InsertOne[Document] | UpdateOne] = []
        for order, entry in enumerate(entries, first):
            waiting = {
                "state": "pending",
                "transaction": transaction,
                "order": order,
                "arrived_ms": now_ms,
            }
            if entry.hash not in states:
                writes.append(InsertOne({"_id": entry.hash, "envelope": entry.data.decode(), **waiting}))
            elif states[entry.hash] == "refused":
                again = {"$set": waiting, "$unset": {"reason": ""}}
                writes.append(UpdateOne({"_id": entry.hash, "state": "refused"}, again))
        # Two callers may hand in the same entry at the same moment: the first one's document stays.
        await write_unless_there(self._entries, writes)

    async def add_genesis(self, data: bytes) -> bytes:
        """Store entry 0 of the log, unless there is one; return the one that there is."""
        document = {"_id": entry_hash(data), "envelope": data.decode(), "state": "final", "transaction": ""}
        with suppress(DuplicateKeyError):
            await self._entries.insert_one({**document, "arrived_ms": 0, "index": 0, "height": 0})
        found = await self._entries.find_one({"index": 0})
        if found is None:
            raise LookupError("log entry 0 has vanished from MongoDB")
        return _record(found).data

    async def get(self, name: str) -> EntryRecord | None:
        """Return one entry."""
        found = await self._entries.find_one({"_id": name})
        return _record(found) if found else None

    async def of(self, names: Collection[str]) -> dict[str, EntryRecord]:
        """Return those of the named entries that exist."""
        wanted = list(names)
        found = {}
        for start in range(0, len(wanted), _LOOKUP):
            async for document in self._entries.find({"_id": {"$in": wanted[start : start + _LOOKUP]}}):
                found[document["_id"]] = _record(document)
        return found

    async def final_of(self, names: Collection[str]) -> frozenset[str]:
        """Return which of the named entries are in the log."""
        cursor = self._entries.find({"_id": {"$in": list(names)}, "state": "final"}, {"_id": 1})
        return frozenset([found["_id"] async for found in cursor])

    async def pending(self, max_bytes: int) -> list[EntryRecord]:
        """Return the pending entries that came first, up to just over `max_bytes`."""
        records, size = [], 0
        async with self._entries.find({"state": "pending"}).sort("order", 1) as cursor:
            async for found in cursor:
                records.append(_record(found))
                size += len(records[-1].data)
                if size > max_bytes:
                    break
        return records

    async def pending_count(self) -> int:
        """Return how many entries wait for a block."""
        return await self._entries.count_documents({"state": "pending"})

    async def oldest_pending_ms(self) -> int | None:
        """Return when the entry that has waited longest arrived."""
        found = await self._entries.find_one({"state": "pending"}, {"arrived_ms": 1}, sort=[("order", 1)])
        return int(found["arrived_ms"]) if found else None

    async def refuse(self, reasons: Mapping[str, str]) -> None:
        """Mark entries that are still pending as refused."""
        writes = [
            UpdateOne({"_id": name, "state": "pending"}, {"$set": {"state": "refused", "reason": reason}})
            for name, reason in reasons.items()
        ]
        if writes:
            await self._entries.bulk_write(writes, ordered=False)

    async def finalise(self, names: Sequence[str], first_index: int, height: int) -> None:
        """Give entries their places in the log; doing it again changes nothing."""
        writes = [
            UpdateOne(
                {"_id": name, "state": {"$ne": "final"}},
                {"$set": {"state": "final", "index": index, "height": height}, "$unset": {"reason": ""}},
            )
            for index, name in enumerate(names, first_index)
        ]
        if writes:
            await self._entries.bulk_write(writes)
        if missing := len(names) - len(await self.final_of(names)):
            raise LookupError(f"block {height}: {missing} of its entries have vanished from MongoDB")

    async def log(self, size: int) -> AsyncIterator[tuple[int, bytes]]:
        """Yield index and leaf hash of the first `size` entries of the log, in order."""
        cursor = self._entries.find({"index": {"$exists": True, "$lt": size}}, {"index": 1}).sort("index", 1)
        async for found in cursor:
            yield found["index"], bytes.fromhex(found["_id"])


def _record(found: Document) -> EntryRecord:
    return EntryRecord(
        hash=found["_id"],
        data=found["envelope"].encode(),
        state=found["state"],
        transaction=found["transaction"],
        arrived_ms=found["arrived_ms"],
        index=found.get("index"),
        height=found.get("height"),
        reason=found.get("reason"),
    )
