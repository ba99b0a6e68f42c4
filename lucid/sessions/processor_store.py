"""Wrapped session keys: `lucid_sessions.session_keys`, written with a majority before the first seal."""

from pymongo.errors import DuplicateKeyError

from lucid.evidence import sealing, wrapping
from lucid.evidence.wrapping import Kek, WrappedKey
from lucid.kit.errors import NotFound
from lucid.kit.mongo import Database, Document

CACHED_KEYS = 1024


class SessionKeys:
    """Session keys, wrapped at rest under `kek`; the last used ones are held unwrapped."""

    def __init__(self, database: Database, kek: Kek) -> None:
        self._keys = database["session_keys"]
        self._kek = kek
        self._cache: dict[str, bytes] = {}

    async def create(self, session: str, now_ms: int) -> Document:
        """The session's key record, made if there is none; the first one stays."""
        wrapped = wrapping.wrap_session_key(self._kek, session, sealing.new_session_key())
        record = {"_id": session, "kek_id": wrapped.kek_id, "wrapped": wrapped.data, "created_ms": now_ms}
        try:
            await self._keys.insert_one(record)
        except DuplicateKeyError:
            return await self._record(session)
        return record

    async def key(self, session: str) -> bytes:
        """The session's key. Raises NotFound, or SealError where the KEK is not the one that wrapped it."""
        if session not in self._cache:
            record = await self._record(session)
            wrapped = WrappedKey(record["kek_id"], record["wrapped"])
            key = wrapping.unwrap_session_key(self._kek, session, wrapped)
            while len(self._cache) >= CACHED_KEYS:
                self._cache.pop(next(iter(self._cache)))
            self._cache[session] = key
        return self._cache[session]

    async def _record(self, session: str) -> Document:
        record = await self._keys.find_one({"_id": session})
        if record is None:
            raise NotFound(f"session {session} has no key; it is made when the session starts")
        return record
