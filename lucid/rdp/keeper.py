"""Keeps the RDP sessions of this host: begins them, lets people in, and sees them to their end.

What a session is, is on disk before anything is done for it. Its end is begun by writing it down, too, and is
done again and again until every step has succeeded, in whichever life of the service.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial

import msgspec

from lucid.contracts import session_controller as contract
from lucid.contracts import xrdp
from lucid.evidence import policy as policies
from lucid.evidence.errors import EvidenceError
from lucid.evidence.policy import TrustPolicy
from lucid.kit import context
from lucid.kit.errors import BY_LABEL, Code, Conflict, Invalid, LucidError, NotFound, StorageFull, Unavailable
from lucid.kit.errors import raised as as_raised
from lucid.kit.logs import log
from lucid.kit.tasks import Tasks
from lucid.rdp import controller_metrics as metrics
from lucid.rdp import life
from lucid.rdp.life import End, Failure, Record
from lucid.rdp.peers import Peers
from lucid.rdp.records import Records

WAIT_SECONDS = 8.0
"""How long who asks for an end is kept waiting for it."""


def now() -> float:
    """Seconds since the host booted."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Keeper:
    """All sessions of this host. Only this class changes their records."""

    def __init__(self, records: Records, peers: Peers, tasks: Tasks, boot: str) -> None:
        self.peers = peers
        self.boot = boot
        self.known: dict[str, Record] = {}
        self.policies: dict[str, TrustPolicy] = {}
        self._records = records
        self._tasks = tasks
        self._changing: dict[str, asyncio.Lock] = {}
        self._unsaved: set[str] = set()
        """Sessions whose record on disk is older than what is known: the disk refused it."""

    async def recover(self) -> None:
        """Takes up what an earlier life of this service has left behind."""
        for session, record in (await asyncio.to_thread(self._records.load)).items():
            self.policies[session] = policies.verify(record.begin.trust.encode())
            self.known[session] = record
            if end := life.left_behind(record, self.boot):
                await self.mark(session, end)
        log.info("sessions found", count=len(self.known))

    def find(self, session: str) -> Record:
        """The record of a session. Raises NotFound."""
        if session not in self.known:
            raise NotFound(f"there is no RDP session {session} on this host")
        return self.known[session]

    async def begin(self, session: str, begin: contract.Begin) -> Record:
        """Starts a desktop and its recording. The same again is no error, and fails as it did."""
        known = self.known.get(session)
        if known is None:
            known = await self._write_down(session, begin)
        if known.begin != begin:
            raise Conflict(f"session {session} exists, and is another one")
        await self._tasks.ended(f"begin:{session}")
        record = self.find(session)
        if record.failure is not None:
            raise as_raised(BY_LABEL[record.failure.code], record.failure.message)
        if record.state in life.OVER:
            raise _wrong_state(record)
        if record.state == "starting":
            raise Unavailable("the session's start was broken off; it will be ended")
        return record

    async def admit(self, session: str, admission: xrdp.Admission) -> xrdp.Admitted:
        """Lets one client in. From now on it has time to log in."""
        record = self.find(session)
        async with self.peers.alone_at(record.begin.port):
            record = await self.change(session, _admitted)
            if record.state not in life.LIVE:
                raise _wrong_state(record)
            return await self.peers.admit(record.begin.port, admission)

    async def disconnect(self, session: str) -> Record:
        """Cuts off whoever is connected."""
        record = self.find(session)
        if record.state in life.LIVE:
            await self.peers.close(record.begin.port)
        return record

    async def end(self, session: str, end: End) -> Record:
        """Ends a session, and waits a while for it. All who ask for it wait for the same end."""
        record = await self.mark(session, end)
        if record.state == "ending":
            self.go_on(session)
            await asyncio.wait(
                [asyncio.ensure_future(self._tasks.ended(f"end:{session}"))],
                timeout=context.remaining(WAIT_SECONDS),
            )
        return self.known.get(session, record)

    async def mark(self, session: str, end: End) -> Record:
        """Writes down that a session is to end; it will, whatever happens now. The first reason stands."""
        before = self.find(session)
        record = await self.change(session, lambda record: life.ending(record, end))
        if before.state not in life.OVER and record.state == "ending" and record.detail == end.detail:
            log.info("session ends", session_id=session, ending=end.ending, detail=end.detail)
        return record

    def go_on(self, session: str) -> None:
        """Tries to bring a session that is ending to its end, unless that is being tried."""
        name = f"end:{session}"
        if not self._tasks.running(name):
            self._tasks.start(name, partial(self._end, session))

    def beginning(self, session: str) -> bool:
        """Whether its start is under way."""
        return self._tasks.running(f"begin:{session}")

    async def change(self, session: str, rule: Callable[[Record], Record]) -> Record:
        """Replaces the record by what `rule` makes of it. A disk that takes nothing stops no end.

        What it would not take is kept in mind, and offered to it again.
        """
        async with self._changing.setdefault(session, asyncio.Lock()):
            before = self.find(session)
            record = rule(before)
            if record is not before or session in self._unsaved:
                self.known[session] = record
                await self._save(record)
            return record

    async def forget(self, session: str) -> None:
        """Removes a session that has been told of for long enough."""
        async with self._changing.setdefault(session, asyncio.Lock()):
            await asyncio.to_thread(self._records.remove, session)
            self.known.pop(session, None)
            self.policies.pop(session, None)
            self._unsaved.discard(session)
        self._changing.pop(session, None)

    async def _write_down(self, session: str, begin: contract.Begin) -> Record:
        try:
            policy = policies.verify(begin.trust.encode())
        except EvidenceError as error:
            raise Invalid(f"trust is no policy signed by its owner: {error}", field="trust") from None
        record = Record(
            session=session,
            begin=begin,
            boot=self.boot,
            state="starting",
            began_ms=time.time_ns() // 1_000_000,
            began=now(),
        )
        async with self._changing.setdefault(session, asyncio.Lock()):
            if session in self.known:  # asked for twice at once
                return self.known[session]
            if other := life.at_port(begin.port, self.known):
                raise Conflict(f"port {begin.port} is taken by session {other.session}", port=begin.port)
            self.known[session], self.policies[session] = record, policy
            try:
                await asyncio.to_thread(self._records.save, record)
            except OSError as error:
                del self.known[session], self.policies[session]
                raise StorageFull(f"the session cannot be written down: {error.strerror}") from None
        self._tasks.start(f"begin:{session}", partial(self._begin, session))
        return record

    async def _begin(self, session: str) -> None:
        """Desktop first, then its recording: nobody can be let in before both are there."""
        record, step = self.find(session), End("failed", "its desktop could not be started")
        try:
            async with self.peers.alone_at(record.begin.port):
                self._check_starting(session)
                shown = await self.peers.prepare(record)
            step = End("not_recorded", "its recording could not be started")
            await self.change(session, _to_be_recorded)
            self._check_starting(session)
            await self.peers.record(session, shown)
            record = await self.change(session, _ready)
            metrics.begin_seconds.observe(now() - record.began)
        except LucidError as error:
            failure = Failure(error.code.label, error.message)
            log.warning("session could not be begun", session_id=session, error=error.message)
            await self.change(session, lambda record: _failed(record, failure))
            await self.mark(session, msgspec.structs.replace(step, detail=f"{step.detail}: {error.message}"))
            await self._end_once(session)

    def _check_starting(self, session: str) -> None:
        record = self.find(session)
        if record.state != "starting":
            raise _wrong_state(record)
