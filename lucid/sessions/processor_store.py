"""Wrapped session keys: `lucid_sessions.session_keys`, written with a majority before the first seal.

A record stays for ever. Once its session is erased it holds the time of that instead of a key, so that no
other key can be made in its place.
"""

from datetime import UTC, datetime

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from lucid.evidence import sealing, wrapping
from lucid.evidence.errors import SealError
from lucid.evidence.wrapping import Kek, WrappedKey
from lucid.kit.errors import NotFound
from lucid.kit.mongo import Database, Document

CACHED_KEYS = 1024
BATCH = 100


class SessionKeys:
    """Session keys, wrapped at rest under `kek`; the last used ones are held unwrapped.

    Keys that are still wrapped under `previous`, the KEK before, are opened too.
    """

    def __init__(self, database: Database, kek: Kek, previous: Kek | None = None) -> None:
        self._keys = database["session_keys"]
        self._kek = kek
        self._previous = previous
        self._cache: dict[str, bytes] = {}

    async def create(self, session: str, now_ms: int) -> Document:
        """The session's key record, made if there is none; the first one stays. Raises NotFound if erased."""
        wrapped = wrapping.wrap_session_key(self._kek, session, sealing.new_session_key())
        record = {"_id": session, "kek_id": wrapped.kek_id, "wrapped": wrapped.data, "created_ms": now_ms}
        try:
            await self._keys.insert_one(record)
        except DuplicateKeyError:
            return await self._record(session)
        return record

    async def key(self, session: str) -> bytes:
        """The session's key, to seal with.

        Raises NotFound, or SealError where the KEK is not the one that wrapped it.
        """
        if session not in self._cache:
            key = await self.stored_key(session)
            while len(self._cache) >= CACHED_KEYS:
                self._cache.pop(next(iter(self._cache)))
            self._cache[session] = key
        return self._cache[session]

    async def stored_key(self, session: str) -> bytes:
        """The session's key as it is on record now, to open with: another process may have erased it."""
        return self._unwrap(session, await self._record(session))

    async def erase(self, session: str, now_ms: int) -> int:
        """Destroys the session's key; returns since when it is destroyed. Sessions without a key get none."""
        since = {"$ifNull": ["$erased_ms", now_ms]}
        record = await self._keys.find_one_and_update(
            {"_id": session},
            [{"$set": {"erased_ms": since}}, {"$unset": ["wrapped", "kek_id"]}],
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        if record is None:
            raise LookupError(f"the key record of session {session} has vanished from MongoDB")
        self._cache.pop(session, None)
        erased_ms: int = record["erased_ms"]
        return erased_ms

    async def rewrap(self) -> int:
        """Wraps up to `BATCH` keys that are under the previous KEK under the current one; returns how many.

        Each is one write that takes effect only on the key that was read, so it may be done twice, by several
        processes, and be broken off anywhere. Raises SealError for a key that does not open.
        """
        if self._previous is None:
            return 0
        found = await self._keys.find({"kek_id": self._previous.id}).limit(BATCH).to_list()
        for record in found:
            session = record["_id"]
            wrapped = wrapping.wrap_session_key(self._kek, session, self._unwrap(session, record))
            await self._keys.update_one(
                {"_id": session, "kek_id": record["kek_id"], "wrapped": record["wrapped"]},
                {"$set": {"kek_id": wrapped.kek_id, "wrapped": wrapped.data}},
            )
        return len(found)

    async def prepare(self) -> None:
        """Makes the index that re-wrapping and counting use."""
        await self._keys.create_index([("kek_id", 1)])

    async def counts(self) -> dict[str, int]:
        """How many keys are wrapped under the `current` KEK, the `previous` one, and `unknown` ones."""
        held = {"kek_id": {"$exists": True}}
        current = await self._keys.count_documents({"kek_id": self._kek.id})
        previous = await self._keys.count_documents({"kek_id": self._previous.id}) if self._previous else 0
        unknown = await self._keys.count_documents(held) - current - previous
        return {"current": current, "previous": previous, "unknown": unknown}

    def _unwrap(self, session: str, record: Document) -> bytes:
        wrapped = WrappedKey(record["kek_id"], record["wrapped"])
        for kek in (self._kek, self._previous):
            if kek is not None and kek.id == wrapped.kek_id:
                return wrapping.unwrap_session_key(kek, session, wrapped)
        raise SealError(
            f"the key of session {session} is wrapped under KEK {wrapped.kek_id}, which is unknown here:"
            " give the password it was wrapped under as credential encryption_password_previous"
        )

    async def _record(self, session: str) -> Document:
        record = await self._keys.find_one({"_id": session})
        if record is None:
            raise NotFound(f"session {session} has no key; it is made when the session starts")
        if "erased_ms" in record:
            erased = datetime.fromtimestamp(record["erased_ms"] / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            raise NotFound(
                f"the recording of session {session} was erased: its key was destroyed on {erased}"
            )
        return record
