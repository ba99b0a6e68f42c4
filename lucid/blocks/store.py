"""What blockchain-engine keeps in MongoDB, database `lucid_blocks`; majority writes throughout.

blocks          `_id` is the height, so MongoDB decides which of two proposals for a height there is
votes           one for each validator and height
cosignatures    one for each validator and height
chain_keys      registered keys, as of the newest final block
chain_sessions  sessions, as of the newest final block
entries         see `entry_store`

Commit, then vote, then final. A proposed block is one document, a vote another. Once a quorum has accepted,
one write makes the block `accepted` and puts beside it what it changes, as absolute values (a redo log);
`complete` applies them and makes it final. Applying again changes nothing, so after a crash between any two
writes whoever comes next, this engine or another, finishes what is there.

No MongoDB transactions: one that is open when its client is killed holds its documents for up to a minute.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from pymongo import UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from lucid.blocks.bulk import write_unless_there
from lucid.blocks.entry_store import EntryStore
from lucid.blocks.frontier import Frontier
from lucid.blocks.state import ChainState, Key, Session, Touched
from lucid.evidence import block
from lucid.evidence.block import Header
from lucid.kit.mongo import Database, Document

BlockState = Literal["proposed", "accepted", "final", "void"]
"""`accepted`: bound to become final, its effects perhaps not yet all applied."""


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """A block as it is stored."""

    header: Header
    transactions: tuple[tuple[str, ...], ...]
    """The entries' hashes."""
    state: BlockState = "proposed"
    checkpoint: bytes | None = None
    """Its published checkpoint, once a quorum has cosigned."""

    @property
    def entries(self) -> tuple[str, ...]:
        """Hashes of all its entries, in order."""
        return tuple(entry for transaction in self.transactions for entry in transaction)


class Store:
    """Blocks, votes, cosignatures, and the state that final blocks have made."""

    def __init__(self, database: Database) -> None:
        self._blocks = database["blocks"]
        self._votes = database["votes"]
        self._cosignatures = database["cosignatures"]
        self._keys = database["chain_keys"]
        self._sessions = database["chain_sessions"]
        self.entries = EntryStore(database)

    async def prepare(self) -> None:
        """Make the indexes that are missing."""
        for collection in (self._votes, self._cosignatures):
            await collection.create_index([("height", 1), ("validator", 1)], unique=True)
        await self.entries.prepare()

    async def begin(self, genesis: bytes) -> None:
        """Begin the log with `genesis`, unless it has begun; make sure of block 0, which follows from it."""
        entry = await self.entries.add_genesis(genesis)
        with suppress(DuplicateKeyError):
            await self._blocks.insert_one(_document(BlockRecord(block.genesis_header(entry), (), "final")))

    async def block(self, height: int) -> BlockRecord | None:
        """Return the block at `height`, whatever its state."""
        return await self._one({"_id": height})

    async def existing(self, height: int) -> BlockRecord:
        """Return the block at `height`, which must be there."""
        found = await self.block(height)
        if found is None:
            raise LookupError(f"block {height} has vanished from MongoDB")
        return found

    async def newest_settled(self) -> BlockRecord | None:
        """Return the newest block that is final or void."""
        return await self._one({"state": {"$in": ["final", "void"]}})

    async def newest_final(self, height: int) -> BlockRecord | None:
        """Return the newest final block that is not above `height`."""
        return await self._one({"state": "final", "_id": {"$lte": height}})

    async def newest_published(self) -> BlockRecord | None:
        """Return the newest block whose checkpoint is published."""
        return await self._one({"checkpoint": {"$exists": True}})

    async def page(self, before: int | None, limit: int) -> list[BlockRecord]:
        """Return up to `limit` blocks below height `before`, newest first."""
        query = {} if before is None else {"_id": {"$lt": before}}
        return [_record(found) async for found in self._blocks.find(query).sort("_id", -1).limit(limit)]

    async def slice(self, needed: Touched, log: Frontier) -> ChainState:
        """Return the needed part of the state after the newest final block, whose log is `log`."""
        keys = {
            found["_id"]: Key(bytes.fromhex(found["public_key"]), found["role"])
            async for found in self._keys.find({"_id": {"$in": list(needed.keys)}})
        }
        sessions = {
            found["_id"]: _session(found)
            async for found in self._sessions.find({"_id": {"$in": list(needed.sessions)}})
        }
        return ChainState(log, keys, sessions, await self.entries.final_of(needed.entries))

    async def propose(self, record: BlockRecord) -> BlockRecord:
        """Store a proposed block; return the one that is now at its height, which may be another's."""
        try:
            await self._blocks.insert_one(_document(record))
        except DuplicateKeyError:
            return await self.existing(record.header.height)
        return record

    async def add_vote(self, height: int, validator: str, envelope: str) -> None:
        """Store a validator's vote, unless it has voted at this height already."""
        await _insert_once(self._votes, {"height": height, "validator": validator, "envelope": envelope})

    async def votes(self, heights: Collection[int]) -> dict[int, tuple[str, ...]]:
        """Return the votes (DSSE envelopes) on the blocks at `heights`."""
        return await _texts(self._votes, heights, "envelope")

    async def add_cosignature(self, height: int, validator: str, line: str) -> None:
        """Store a validator's cosignature of a final block's checkpoint, unless there is one already."""
        await _insert_once(self._cosignatures, {"height": height, "validator": validator, "line": line})

    async def cosignatures(self, height: int) -> tuple[str, ...]:
        """Return the cosignature lines for the checkpoint of the block at `height`."""
        return (await _texts(self._cosignatures, [height], "line"))[height]

    async def publish(self, height: int, note: bytes) -> None:
        """Store the checkpoint of a final block, unless it is published already."""
        query = {"_id": height, "state": "final", "checkpoint": {"$exists": False}}
        await self._blocks.update_one(query, {"$set": {"checkpoint": note.decode()}})

    async def void(self, height: int) -> BlockRecord:
        """Make a proposed block void; its entries go on waiting. Return the block as it now is."""
        await self._blocks.update_one({"_id": height, "state": "proposed"}, {"$set": {"state": "void"}})
        return await self.existing(height)

    async def accept(self, record: BlockRecord, before: ChainState, after: ChainState) -> None:
        """Bind a proposed block that a quorum has accepted to become final, with what it changes."""
        keys = [
            {"_id": name, "public_key": key.public_key.hex(), "role": key.role}
            for name, key in after.keys.items()
            if before.keys.get(name) != key
        ]
        sessions = [
            {"_id": name, **dataclasses.asdict(s)}
            for name, s in after.sessions.items()
            if before.sessions.get(name) != s
        ]
        await self._blocks.update_one(
            {"_id": record.header.height, "state": "proposed"},
            {"$set": {"state": "accepted", "effects": {"keys": keys, "sessions": sessions}}},
        )

    async def complete(self, height: int) -> BlockRecord:
        """Apply what an accepted block changes and make it final; return the block as it now is."""
        found = await self._blocks.find_one({"_id": height, "state": "accepted"})
        if found is not None:
            record = _record(found)
            first_index = record.header.log_size - len(record.entries)
            await self.entries.finalise(record.entries, first_index, height)
            await _apply(self._keys, found["effects"]["keys"], height)
            await _apply(self._sessions, found["effects"]["sessions"], height)
            await self._blocks.update_one(
                {"_id": height, "state": "accepted"}, {"$set": {"state": "final"}, "$unset": {"effects": ""}}
            )
        return await self.existing(height)

    async def _one(self, query: Mapping[str, Any]) -> BlockRecord | None:
        found = await self._blocks.find_one(query, sort=[("_id", -1)])
        return _record(found) if found else None


def _document(record: BlockRecord) -> Document:
    return {
        "_id": record.header.height,
        "header": block.encode(record.header).decode(),
        "transactions": [list(entries) for entries in record.transactions],
        "state": record.state,
    }


def _session(found: Document) -> Session:
    """What a document does not say, one from before holds and erasures for example, has its default."""
    return Session(
        **{field.name: found[field.name] for field in dataclasses.fields(Session) if field.name in found}
    )


def _record(found: Document) -> BlockRecord:
    note = found.get("checkpoint")
    return BlockRecord(
        header=block.decode(found["header"].encode()),
        transactions=tuple(tuple(entries) for entries in found["transactions"]),
        state=found["state"],
        checkpoint=note.encode() if note else None,
    )


async def _insert_once(collection: AsyncCollection[Document], document: Document) -> None:
    with suppress(DuplicateKeyError):
        await collection.insert_one(document)


async def _texts(
    collection: AsyncCollection[Document], heights: Collection[int], field: str
) -> dict[int, tuple[str, ...]]:
    texts: dict[int, tuple[str, ...]] = dict.fromkeys(heights, ())
    cursor = collection.find({"height": {"$in": list(heights)}}).sort([("height", 1), ("validator", 1)])
    async for found in cursor:
        texts[found["height"]] += (found[field],)
    return texts


async def _apply(collection: AsyncCollection[Document], documents: Sequence[Document], height: int) -> None:
    """Write documents as of block `height`, except over what a later block has written already."""
    writes = [
        UpdateOne(
            {"_id": each["_id"], "height": {"$lte": height}},
            {"$set": {**each, "height": height}},
            upsert=True,
        )
        for each in documents
    ]
    await write_unless_there(collection, writes)
