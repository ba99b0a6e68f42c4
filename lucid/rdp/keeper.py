"""Begins the RDP sessions of this host, lets people in, and sees each session to its end.

What is to be done is on disk before anything is done. An end is tried again and again until every step of it
has succeeded, in whichever life of the service.
"""

import asyncio
import time
from collections.abc import Awaitable
from functools import partial

import msgspec

from lucid.contracts import session_controller as contract
from lucid.contracts import xrdp
from lucid.evidence import policy as policies
from lucid.evidence.errors import EvidenceError
from lucid.kit import context, errors
from lucid.kit.errors import Code, Conflict, Invalid, LucidError, Unavailable
from lucid.kit.logs import log
from lucid.kit.tasks import Tasks
from lucid.rdp import controller_metrics as metrics
from lucid.rdp import life
from lucid.rdp.book import Book
from lucid.rdp.life import End, Failure, Record
from lucid.rdp.peers import Peers

WAIT_SECONDS = 8.0
"""How long whoever asks for an end is kept waiting for it."""


def now() -> float:
    """Seconds since the host booted."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def now_ms() -> int:
    """Milliseconds since the epoch, for people."""
    return time.time_ns() // 1_000_000


class Keeper:
    """All sessions of this host. `boot` names this boot of it."""

    def __init__(self, book: Book, peers: Peers, tasks: Tasks, boot: str) -> None:
        self.book = book
        self.peers = peers
        self.boot = boot
        self._tasks = tasks

    async def recover(self) -> None:
        """Takes up what an earlier life of this service has left behind."""
        await self.book.load()
        for session, record in self.book.known.items():
            log.info("session found", session_id=session, state=record.state)
            if end := life.left_behind(record, self.boot):
                await self.mark(session, end)

    async def begin(self, session: str, begin: contract.Begin) -> Record:
        """Starts a desktop and its recording. The same again is no error, or fails as it did."""
        record = self.book.known.get(session)
        if record is None or record.state == "starting":  # being written down, if not more
            record = await self._write_down(session, begin)
        if record.begin != begin:
            raise Conflict(f"session {session} exists, and is another one")
        await self._tasks.ended(f"begin:{session}")
        record = self.book.find(session)
        if record.failure is not None:
            await self._ended(
                session, context.remaining(WAIT_SECONDS)
            )  # whoever hears of it may begin another
            raise errors.of_code(errors.BY_LABEL[record.failure.code], record.failure.message)
        if record.state == "starting":
            raise Unavailable("the start was broken off, for this service is ending")
        return _not_over(record)

    async def admit(self, session: str, admission: xrdp.Admission) -> xrdp.Admitted:
        """Lets one client in."""
        port = self.book.find(session).begin.port
        async with self.peers.alone_at(port):
            record = await self.book.change(session, lambda record: life.admitted(record, now()))
            if record.state == "starting":
                raise _wrong_state(record)
            return await self.peers.admit(_not_over(record).begin.port, admission)

    async def disconnect(self, session: str) -> Record:
        """Cuts off whoever is connected."""
        record = self.book.find(session)
        if record.state not in life.LIVE:
            return record
        await self.peers.close(record.begin.port)
        if record.state == "connected":
            record = await self.book.change(session, lambda record: life.disconnected(record, now()))
        return record

    async def stop_listening(self, session: str) -> None:
        """Has nobody listen for a session that nobody can log in to, unless somebody is let in meanwhile."""
        record = self.book.find(session)
        async with self.peers.alone_at(record.begin.port):
            if self.book.find(session) is record:
                await self.peers.close(record.begin.port)

    async def end(self, session: str, end: End) -> Record:
        """Ends a session, and waits a while for it. All who ask for it wait for the same end."""
        record = await self.mark(session, end)
        if record.state == "ending":
            self.go_on(session)
            await self._ended(session, context.remaining(WAIT_SECONDS))
        return self.book.known.get(session, record)

    async def mark(self, session: str, end: End) -> Record:
        """Writes down that a session is to end; it will, whatever happens now. The first reason stands."""
        before = self.book.find(session)
        record = await self.book.change(session, lambda record: life.ending(record, end, now_ms()))
        if before.state not in life.OVER:
            log.info("session ends", session_id=session, ending=record.ending, detail=record.detail)
        return record

    def go_on(self, session: str) -> None:
        """Tries to bring a session that is ending to its end, unless that is being tried."""
        name = f"end:{session}"
        if not self._tasks.running(name):
            self._tasks.start(name, partial(self._end, session))

    async def end_orphan(self, port: int) -> None:
        """Ends whatever is in a slot, if it belongs to nobody."""
        async with self.peers.alone_at(port):
            if life.at_port(port, self.book.known) is None:
                await self.peers.end(port)
                metrics.orphans_total.inc()

    async def _write_down(self, session: str, begin: contract.Begin) -> Record:
        try:
            policies.verify(begin.trust.encode())
        except EvidenceError as error:
            raise Invalid(f"trust is no policy signed by its owner: {error}", field="trust") from None
        record = Record(
            session=session,
            begin=begin,
            boot=self.boot,
            state="starting",
            began_ms=now_ms(),
            began=now(),
        )
        written = await self.book.open(record)
        if written is record:
            self._tasks.start(f"begin:{session}", partial(self._begin, session))
        return written

    async def _begin(self, session: str) -> None:
        """Desktop first, then its recording: nobody can be let in before both are there."""
        record, step = self.book.find(session), End("failed", "its desktop could not be started")
        try:
            async with self.peers.alone_at(record.begin.port):
                shown = await self.peers.prepare(record)
            step = End("not_recorded", "its recording could not be started")
            record = await self.book.change(session, life.to_be_recorded)
            await self.peers.record(_not_over(record).session, shown)
        except LucidError as error:
            failure = Failure(error.code.label, error.message)
            await self.book.change(session, lambda record: life.failed(record, failure))
            await self.mark(session, msgspec.structs.replace(step, detail=f"{step.detail}: {error.message}"))
            self.go_on(session)
            return
        await self.book.change(session, life.ready)
        metrics.begin_seconds.observe(now() - record.began)

    async def _end(self, session: str) -> None:
        """One try."""
        await self._tasks.cancel(f"begin:{session}")
        if self.book.find(session).state == "ended":
            await self._settle(session)
            return
        async with self.peers.alone_at(self.book.find(session).begin.port):
            over = await self._end_desktop(self.book.find(session))
        if over:
            record = await self.book.change(
                session, lambda record: life.ended(record, self.boot, now(), now_ms())
            )
            log.info("session ended", session_id=session, ending=record.ending, detail=record.detail)
            metrics.sessions_ended_total.labels(record.ending).inc()
            metrics.session_seconds.observe(now() - record.began)

    async def _end_desktop(self, record: Record) -> bool:
        """Cut off first: nobody may be connected to a desktop that is not recorded."""
        session, port = record.session, record.begin.port
        cut_off = await self._done(session, "the client", self.peers.close(port))
        await self._report(record)
        if not cut_off:
            return False
        if life.has_last_frame(record):
            await self._stop(record)
        return await self._done(session, "the desktop", self.peers.end(port))

    async def _settle(self, session: str) -> None:
        """Tells session-api what it must know. While it is out of reach, that stays to be done."""
        await self._report(self.book.find(session))
        await self._stop(self.book.find(session))

    async def _report(self, record: Record) -> None:
        session, violation = record.session, record.violation
        if violation and await self._done(session, "the log", self.peers.report(session, violation)):
            metrics.violations_total.labels(violation.kind).inc()
            await self.book.change(session, life.reported)

    async def _stop(self, record: Record) -> None:
        session, reason = record.session, life.reason(record)
        if not record.recorded:
            return
        if await self._done(session, "the recording", self.peers.stop_recording(session, reason)):
            await self.book.change(session, life.stopped)

    async def _done(self, session: str, what: str, step: Awaitable[None]) -> bool:
        try:
            await step
        except LucidError as error:
            log.warning("step of an end failed", session_id=session, what=what, error=error.message)
            return False
        return True

    async def _ended(self, session: str, seconds: float) -> None:
        waiting = asyncio.ensure_future(self._tasks.ended(f"end:{session}"))
        await asyncio.wait([waiting], timeout=seconds)
        waiting.cancel()


def _not_over(record: Record) -> Record:
    if record.state in life.OVER:
        raise _wrong_state(record)
    return record


def _wrong_state(record: Record) -> Conflict:
    why = f": {record.detail}" if record.detail else ""
    return Conflict(f"the session is {record.state}{why}", code=Code.SESSION_STATE, state=record.state)
