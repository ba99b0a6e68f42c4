"""What is known of each session of this host, in mind and on disk."""

import asyncio
from collections.abc import Callable

from lucid.evidence import policy as policies
from lucid.evidence.policy import TrustPolicy
from lucid.kit.errors import Conflict, NotFound, StorageFull, Unavailable
from lucid.kit.logs import log
from lucid.rdp import life
from lucid.rdp.life import Record
from lucid.rdp.records import Records


class Book:
    """All records, each changed under a lock of its own."""

    def __init__(self, records: Records) -> None:
        self.known: dict[str, Record] = {}
        self._records = records
        self._policies: dict[str, TrustPolicy] = {}
        self._changing: dict[str, asyncio.Lock] = {}
        self._unsaved: set[str] = set()
        """Sessions whose record on disk is older than what is known, because the disk refused it."""

    async def load(self) -> None:
        """Reads what an earlier life of this service has written."""
        self.known = await asyncio.to_thread(self._records.load)

    def find(self, session: str) -> Record:
        """The record of a session. Raises NotFound."""
        if session not in self.known:
            raise NotFound(f"there is no RDP session {session} on this host")
        return self.known[session]

    def policy(self, session: str) -> TrustPolicy:
        """The policy that binds a session: that of its record, whatever has become of it elsewhere."""
        if session not in self._policies:
            self._policies[session] = policies.verify(self.find(session).begin.trust.encode())
        return self._policies[session]

    async def open(self, record: Record) -> Record:
        """Writes a session down, once; returns what is written. Raises Conflict, StorageFull."""
        async with self._lock(record.session):
            if record.session in self.known:  # asked for twice at once
                return self.known[record.session]
            port = record.begin.port
            if other := life.at_port(port, self.known):
                raise Conflict(f"port {port} is taken by session {other.session}", port=port)
            self.known[record.session] = record  # from here on the port is taken
            try:
                await asyncio.to_thread(self._records.save, record)
            except OSError as error:
                del self.known[record.session]
                raise StorageFull(f"the session cannot be written down: {error.strerror}") from None
            return record

    async def change(self, session: str, rule: Callable[[Record], Record]) -> Record:
        """Replaces a record by what `rule` makes of it. Raises NotFound.

        A disk that takes nothing must not keep a desktop alive: what it refuses is kept in mind, and offered
        to it again.
        """
        async with self._lock(session):
            before = self.find(session)
            record = self.known[session] = rule(before)
            if record is not before or session in self._unsaved:
                try:
                    await asyncio.to_thread(self._records.save, record)
                    self._unsaved.discard(session)
                except OSError as error:
                    self._unsaved.add(session)
                    log.error("record cannot be written", session_id=session, error=str(error))
            return record

    async def save_again(self) -> None:
        """Offers the disk what it refused."""
        for session in tuple(self._unsaved):
            await self.change(session, lambda record: record)

    async def forget(self, session: str) -> None:
        """Removes a record."""
        async with self._lock(session):
            try:
                await asyncio.to_thread(self._records.remove, session)
            except OSError as error:
                log.error("record cannot be removed", session_id=session, error=str(error))
                return
            self._unsaved.discard(session)
            self._policies.pop(session, None)
            del self.known[session]
        del self._changing[session]

    async def check(self) -> None:
        """Raises Unavailable while records cannot be written."""
        if self._unsaved:
            raise Unavailable(f"the disk takes no records; {len(self._unsaved)} wait")

    def _lock(self, session: str) -> asyncio.Lock:
        return self._changing.setdefault(session, asyncio.Lock())
