"""What blockchain-engine keeps in MongoDB, database `lucid_blocks`; majority writes throughout.

blocks          `_id` is the height, so MongoDB decides which of two proposals for a height there is
votes           one for each validator and height
cosignatures    one for each validator and height
chain_keys      registered keys, as of the newest final block
chain_sessions  sessions, as of the newest final block
entries         see `entry_store`

Commit, then vote, then final: a proposed block changes nothing but its own document, a vote adds its own
document, and `finalise` is one MongoDB transaction. After a crash between any two of these writes the next
pass finds each step either undone or done, never half done, and goes on from there.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pymongo import ReplaceOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError, OperationFailure
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from lucid.blocks.entry_store import EntryStore
from lucid.blocks.frontier import Frontier
from lucid.blocks.state import ChainState, Key, Session, Touched
from lucid.evidence import block
from lucid.evidence.block import Header
from lucid.kit.mongo import Database, Document

BlockState = Literal["proposed", "final", "void"]
T = TypeVar("T")

_NAMESPACE_EXISTS = 48
_COLLECTIONS = ("blocks", "votes", "cosignatures", "chain_keys", "chain_sessions", "entries")


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
        self._database = database
        self._blocks = database["blocks"]
        self._votes = database["votes"]
        self._cosignatures = database["cosignatures"]
        self._keys = database["chain_keys"]
        self._sessions = database["chain_sessions"]
        self.entries = EntryStore(database)

    async def prepare(self) -> None:
        """Make the collections and indexes that are missing."""
        for name in _COLLECTIONS:
            try:
                await self._database.create_collection(name, check_exists=False)
            except OperationFailure as failure:
                if failure.code != _NAMESPACE_EXISTS:
                    raise
        for collection in (self._votes, self._cosignatures):
            await collection.create_index([("height", 1), ("validator", 1)], unique=True)
        await self.entries.prepare()

    async def begin(self, header: Header, entry: bytes) -> None:
        """Store block 0 with the genesis. If somebody has begun a chain already, theirs stays."""

        async def write(session: AsyncClientSession) -> None:
            await self._blocks.insert_one(_document(BlockRecord(header, (), "final")), session=session)
            await self.entries.add_genesis(entry, header.time_ms, session)

        try:
            await self._in_transaction(write)
        except DuplicateKeyError:
            return

    async def block(self, height: int) -> BlockRecord | None:
        """Return the block at `height`, whatever its state."""
        return await self._one({"_id": height})

    async def newest_settled(self) -> BlockRecord | None:
        """Return the newest block that is final or void."""
        return await self._one({"state": {"$ne": "proposed"}})

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
            found["_id"]: Session(found["recorder"], found["count"], found["root"], found["closed"])
            async for found in self._sessions.find({"_id": {"$in": list(needed.sessions)}})
        }
        return ChainState(log, keys, sessions, await self.entries.final_of(needed.entries))

    async def propose(self, record: BlockRecord) -> BlockRecord:
        """Store a proposed block; return the one that is now at its height, which may be another's."""
        try:
            await self._blocks.insert_one(_document(record))
        except DuplicateKeyError:
            return await self._existing(record.header.height)
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
        return await self._existing(height)

    async def finalise(self, record: BlockRecord, before: ChainState, after: ChainState) -> BlockRecord:
        """Make a proposed block final and everything that follows from it; return the block as it now is.

        One transaction: the block's state decides, so whoever comes second changes nothing.
        """
        height = record.header.height

        async def write(session: AsyncClientSession) -> None:
            settled = await self._blocks.update_one(
                {"_id": height, "state": "proposed"}, {"$set": {"state": "final"}}, session=session
            )
            if not settled.matched_count:
                return
            moved = await self.entries.finalise(record.entries, before.log.size, height, session)
            if moved != len(record.entries):
                raise LookupError(f"block {height}: {len(record.entries) - moved} entries are not waiting")
            keys = {
                name: {"public_key": key.public_key.hex(), "role": key.role}
                for name, key in after.keys.items()
                if before.keys.get(name) != key
            }
            sessions = {
                name: {"recorder": s.recorder, "count": s.count, "root": s.root, "closed": s.closed}
                for name, s in after.sessions.items()
                if before.sessions.get(name) != s
            }
            await _replace_all(self._keys, keys, session)
            await _replace_all(self._sessions, sessions, session)

        await self._in_transaction(write)
        return await self._existing(height)

    async def _in_transaction(self, write: Callable[[AsyncClientSession], Awaitable[T]]) -> T:
        async with self._database.client.start_session() as session:
            return await session.with_transaction(
                write, ReadConcern("snapshot"), WriteConcern(w="majority", j=True)
            )

    async def _one(self, query: Mapping[str, Any]) -> BlockRecord | None:
        found = await self._blocks.find_one(query, sort=[("_id", -1)])
        return _record(found) if found else None

    async def _existing(self, height: int) -> BlockRecord:
        found = await self.block(height)
        if found is None:
            raise LookupError(f"block {height} has vanished from MongoDB")
        return found


def _document(record: BlockRecord) -> Document:
    return {
        "_id": record.header.height,
        "header": block.encode(record.header).decode(),
        "transactions": [list(entries) for entries in record.transactions],
        "state": record.state,
    }


def _record(found: Document) -> BlockRecord:
    note = found.get("checkpoint")
    return BlockRecord(
        header=block.decode(found["header"].encode()),
        transactions=tuple(tuple(entries) for entries in found["transactions"]),
        state=found["state"],
        checkpoint=note.encode() if note else None,
    )


async def _insert_once(collection: AsyncCollection[Document], document: Document) -> None:
    try:
        await collection.insert_one(document)
    except DuplicateKeyError:
        return


async def _texts(
    collection: AsyncCollection[Document], heights: Collection[int], field: str
) -> dict[int, tuple[str, ...]]:
    texts: dict[int, tuple[str, ...]] = dict.fromkeys(heights, ())
    cursor = collection.find({"height": {"$in": list(heights)}}).sort([("height", 1), ("validator", 1)])
    async for found in cursor:
        texts[found["height"]] += (found[field],)
    return texts


async def _replace_all(
    collection: AsyncCollection[Document], documents: Mapping[str, Document], session: AsyncClientSession
) -> None:
    writes = [ReplaceOne({"_id": name}, value, upsert=True) for name, value in documents.items()]
    if writes:
        await collection.bulk_write(writes, session=session)
