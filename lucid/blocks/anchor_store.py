"""What session-anchoring keeps in MongoDB, database `lucid_blocks`, collections `anchors` and `anchor_meta`.

One document is an anchor's whole life: pending, then final or refused. `_id` is its leaf hash; `order` the
order of arrival; `handed` whether blockchain-engine has it. `closes` is the session of a manifest that is not
refused, and unique: a session has one manifest.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from pymongo import UpdateOne
from pymongo.errors import DuplicateKeyError

from lucid.blocks.entries import Kind, LogEntry
from lucid.blocks.sequence import number_from, take_numbers
from lucid.kit.errors import Conflict
from lucid.kit.mongo import Database, Document

RECORDED: tuple[Kind, ...] = ("anchor", "manifest")
"""What a session's recording consists of in the log; its other entries say what happened to it later."""

AnchorState = Literal["pending", "final", "refused"]


@dataclass(frozen=True, slots=True)
class AnchorRecord:
    """An anchor as it is stored."""

    hash: str
    kind: Kind
    session: str | None
    signer: str
    """Key id of whoever signed."""
    recorder: str
    """Key id of the recorder that it is about; the signer's own, unless a closer signed."""
    envelope: str
    state: AnchorState
    arrived_ms: int
    order: int
    """Place in the order of arrival."""
    index: int | None = None
    height: int | None = None
    reason: str | None = None


class AnchorStore:
    """Repository of anchors."""

    def __init__(self, database: Database) -> None:
        self._anchors = database["anchors"]
        self._meta = database["anchor_meta"]

    async def prepare(self) -> None:
        """Make the indexes that are missing, and have arrivals numbered behind those that are there."""
        await self._anchors.create_index(
            [("handed", 1), ("order", 1)], partialFilterExpression={"state": "pending"}
        )
        await self._anchors.create_index([("session", 1), ("order", 1)])
        await self._anchors.create_index("order")
        await self._anchors.create_index([("signer", 1), ("kind", 1)])
        await self._anchors.create_index(
            "closes", unique=True, partialFilterExpression={"closes": {"$exists": True}}
        )
        newest = await self._anchors.find_one({}, {"order": 1}, sort=[("order", -1)])
        await number_from(self._meta, "anchors", newest["order"] + 1 if newest else 0)

    async def add(self, entry: LogEntry, recorder: str, now_ms: int) -> AnchorRecord:
        """Store an anchor; return it as it now is. A refused one is tried again.

        Raise Conflict if the session has another manifest.
        """
        closes = {"closes": entry.session} if entry.kind == "manifest" else {}
        waiting = {"state": "pending", "handed": False, "arrived_ms": now_ms, **closes}
        document = {
            "_id": entry.hash,
            "kind": entry.kind,
            "session": entry.session,
            "signer": entry.signer,
            "recorder": recorder,
            "envelope": entry.data.decode(),
            "order": await take_numbers(self._meta, "anchors", 1),
            **waiting,
        }
        try:
            await self._anchors.update_one({"_id": entry.hash}, {"$setOnInsert": document}, upsert=True)
            again = {"$set": waiting, "$unset": {"reason": ""}}
            await self._anchors.update_one({"_id": entry.hash, "state": "refused"}, again)
        except DuplicateKeyError as error:
            # Otherwise this very anchor was handed in twice at one moment: it is there.
            if "closes" in (error.details or {}).get("keyPattern", {}):
                raise Conflict(
                    f"session {entry.session} has another manifest", session=entry.session
                ) from None
        found = await self.get(entry.hash)
        if found is None:
            raise LookupError(f"anchor {entry.hash} has vanished from MongoDB")
        return found

    async def get(self, name: str) -> AnchorRecord | None:
        """Return one anchor."""
        found = await self._anchors.find_one({"_id": name})
        return _record(found) if found else None

    async def registrations(self, signers: Collection[str]) -> list[AnchorRecord]:
        """Return the registrations of keys that are not refused, in order of arrival."""
        query = {"signer": {"$in": list(signers)}, "kind": "registration", "state": {"$ne": "refused"}}
        return [_record(found) async for found in self._anchors.find(query).sort("order", 1)]

    async def of_session(self, session: str) -> list[AnchorRecord]:
        """Return a session's anchors and manifests in order of arrival."""
        query = {"session": session, "kind": {"$in": RECORDED}}
        return [_record(found) async for found in self._anchors.find(query).sort("order", 1)]

    async def life_of(self, session: str, before: int | None, limit: int) -> list[AnchorRecord]:
        """Return what else the log says of a session, newest first, from before place `before`."""
        query: Document = {"session": session, "kind": {"$nin": RECORDED}}
        if before is not None:
            query["order"] = {"$lt": before}
        return [_record(found) async for found in self._anchors.find(query).sort("order", -1).limit(limit)]

    async def pending(self, *, handed: bool, limit: int, max_bytes: int) -> list[AnchorRecord]:
        """Return the oldest pending anchors that blockchain-engine has, or has not, been handed."""
        records: list[AnchorRecord] = []
        size = 0
        query = {"state": "pending", "handed": handed}
        async with self._anchors.find(query).sort("order", 1).limit(limit) as cursor:
            async for found in cursor:
                size += len(found["envelope"])
                if size > max_bytes:
                    break
                records.append(_record(found))
        return records

    async def set_handed(self, names: Collection[str], *, handed: bool) -> None:
        """Note that blockchain-engine has these, or that it knows nothing of them."""
        query = {"_id": {"$in": list(names)}, "state": "pending"}
        await self._anchors.update_many(query, {"$set": {"handed": handed}})

    async def refuse(self, reasons: Mapping[str, str]) -> None:
        """Mark anchors as refused; a refused manifest no longer stands in the way of another."""
        for name, reason in reasons.items():
            change = {"$set": {"state": "refused", "reason": reason}, "$unset": {"closes": ""}}
            await self._anchors.update_one({"_id": name, "state": "pending"}, change)

    async def finalise(self, places: Mapping[str, tuple[int, int]]) -> None:
        """Mark anchors as final, each with its index in the log and its block's height."""
        writes = [
            UpdateOne(
                {"_id": name, "state": "pending"},
                {"$set": {"state": "final", "index": index, "height": height}},
            )
            for name, (index, height) in places.items()
        ]
        if writes:
            await self._anchors.bulk_write(writes, ordered=False)

    async def oldest_pending_ms(self) -> int | None:
        """Return when the anchor that has waited longest arrived."""
        found = await self._anchors.find_one(
            {"state": "pending"}, {"arrived_ms": 1}, sort=[("arrived_ms", 1)]
        )
        return int(found["arrived_ms"]) if found else None

    async def trust(self) -> bytes | None:
        """Return the trust file of the chain that was met first."""
        found = await self._meta.find_one({"_id": "trust"})
        return found["file"].encode() if found else None

    async def keep_trust(self, file: bytes) -> None:
        """Keep the trust file of the chain, unless one is kept already."""
        await self._meta.update_one({"_id": "trust"}, {"$setOnInsert": {"file": file.decode()}}, upsert=True)


def _record(found: Document) -> AnchorRecord:
    return AnchorRecord(
        hash=found["_id"],
        kind=found["kind"],
        session=found["session"],
        signer=found["signer"],
        recorder=found["recorder"],
        envelope=found["envelope"],
        state=found["state"],
        arrived_ms=found["arrived_ms"],
        order=found["order"],
        index=found.get("index"),
        height=found.get("height"),
        reason=found.get("reason"),
    )
