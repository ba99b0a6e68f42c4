"""The life of an RDP session: what is remembered of it, and how that changes. Values and pure rules, no I/O.

Lengths of time are counted in seconds since the host booted: a clock that nobody sets, and that begins anew
when all sessions of the host have ended anyway.
"""

from typing import Literal

import msgspec

from lucid.contracts.session_controller import Begin, Ending, RdpSession, State
from lucid.contracts.session_recorder import Stop
from lucid.contracts.types import SessionId
from lucid.contracts.xrdp import Slot

LIVE: frozenset[State] = frozenset({"ready", "connected", "disconnected"})
OVER: frozenset[State] = frozenset({"ending", "ended"})

TOLD_SECONDS = 3600.0
"""How long an ended session is told of."""
UNSETTLED_SECONDS = 24 * 3600.0
"""How long session-api is tried to be told of an end."""

ViolationKind = Literal["recorder_ended", "recorder_lost"]


class Violation(msgspec.Struct, frozen=True):
    """What broke the policy, as it is to be put on the log: said again, it is the same."""

    kind: ViolationKind
    detail: str
    time_ms: int


class Failure(msgspec.Struct, frozen=True):
    """Why a session never began, for whoever asks for it again."""

    code: str
    message: str


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What a session must not forget, replaced on disk as a whole. The display's cookie is no part of it."""

    session: SessionId
    begin: Begin
    """As it was asked for: what changes in the policy later is nothing to this session."""
    boot: str
    """The boot of the host that it belongs to."""
    state: State
    began_ms: int
    began: float
    admitted: float | None = None
    """When a client was let in last."""
    left: float | None = None
    """Since when nobody is connected any more."""
    client: str | None = None
    ending: Ending | None = None
    detail: str | None = None
    ended_ms: int | None = None
    ended: float | None = None
    failure: Failure | None = None
    recorded: bool = False
    """Its recording may have begun, and has not been ended: session-api is to be told that it is over."""
    violation: Violation | None = None
    """What broke its policy, until session-api knows."""

    @property
    def settled(self) -> bool:
        """It has ended, and whoever must know of that does."""
        return self.state == "ended" and not self.recorded and self.violation is None


class End(msgspec.Struct, frozen=True):
    """That a session is to end, and why."""

    ending: Ending
    detail: str
    violation: ViolationKind | None = None


def with_slot(record: Record, slot: Slot, now: float) -> Record:
    """Who is connected, as the agent sees it. Only who has logged in since the last admission counts."""
    logged_in = slot.logged_in_ms is not None
    if logged_in and slot.clients:
        if (record.state, record.client) == ("connected", slot.clients[0]):
            return record
        return msgspec.structs.replace(record, state="connected", client=slot.clients[0], left=None)
    if record.state == "connected" or (record.state == "ready" and logged_in):
        return disconnected(record, now)
    return record


def in_vain(record: Record, slot: Slot) -> bool:
    """Whether a listener is left over: whoever had logged in is gone, and the password is used up."""
    return record.state == "disconnected" and slot.listening and slot.logged_in_ms is not None


def to_be_recorded(record: Record) -> Record:
    """Its recording is about to begin."""
    return msgspec.structs.replace(record, recorded=True) if record.state == "starting" else record


def ready(record: Record) -> Record:
    """Desktop and recording are there; somebody may be let in."""
    return msgspec.structs.replace(record, state="ready") if record.state == "starting" else record


def failed(record: Record, failure: Failure) -> Record:
    """It will never begin; whoever asks again is told the same."""
    return msgspec.structs.replace(record, failure=failure) if record.state == "starting" else record


def admitted(record: Record, now: float) -> Record:
    """Somebody is let in, and has time to log in from now on."""
    return msgspec.structs.replace(record, admitted=now) if record.state in LIVE else record


def disconnected(record: Record, now: float) -> Record:
    """Nobody is connected any more, or was when nobody looked."""
    if record.state not in {"ready", "connected"}:
        return record
    return msgspec.structs.replace(record, state="disconnected", client=None, left=now)


def ending(record: Record, end: End, now_ms: int) -> Record:
    """It is to end, whatever becomes of those who see to that. The first reason stands."""
    if record.state in OVER:
        return record
    violation = Violation(end.violation, end.detail, now_ms) if end.violation else None
    return msgspec.structs.replace(
        record,
        state="ending",
        ending=end.ending,
        detail=end.detail,
        violation=violation,
        client=None,
    )


def ended(record: Record, boot: str, now: float, now_ms: int) -> Record:
    """Nothing of it is left on this host: since `now` of this boot, whichever it belonged to before."""
    if record.state == "ended":
        return record
    return msgspec.structs.replace(record, state="ended", boot=boot, ended=now, ended_ms=now_ms, client=None)


def has_last_frame(record: Record) -> bool:
    """Whether its recorder answers, as far as is known, and so is to end the recording before the desktop."""
    lost = record.violation is not None and record.violation.kind == "recorder_lost"
    return record.recorded and not lost and record.ending != "not_recorded"


def reason(record: Record) -> Stop:
    """Why its recording is to end, as its manifest will have it."""
    return "violation" if record.ending == "violation" else "stopped"


def stopped(record: Record) -> Record:
    """Its recording is known to be over."""
    return msgspec.structs.replace(record, recorded=False)


def reported(record: Record) -> Record:
    """Its violation is known to session-api."""
    return msgspec.structs.replace(record, violation=None)


def left_behind(record: Record, boot: str) -> End | None:
    """Why a session that an earlier life of the controller knew cannot go on, if so."""
    if record.state in OVER:
        return None
    if record.boot != boot:
        return End("host_lost", "its host was started again")
    if record.state == "starting":
        return End("failed", "its start was broken off; open another session")
    return None


def forgotten(record: Record, boot: str, now: float) -> bool:
    """Whether a session has been told of for long enough. Of one before the last boot, since that boot."""
    if record.state != "ended":
        return False
    since = record.ended if record.boot == boot and record.ended is not None else 0.0
    return now - since >= (TOLD_SECONDS if record.settled else UNSETTLED_SECONDS)


def orphans(slots: tuple[Slot, ...], records: dict[str, Record]) -> frozenset[tuple[int, str]]:
    """Port and session of each slot that belongs to no session, or to one that has ended."""
    theirs = {(each.begin.port, each.session) for each in records.values() if each.state != "ended"}
    return frozenset((slot.port, slot.session) for slot in slots) - theirs


def at_port(port: int, records: dict[str, Record]) -> Record | None:
    """The session that has this port, until nothing of it is left."""
    return next((r for r in records.values() if r.begin.port == port and r.state != "ended"), None)


def view(record: Record) -> RdpSession:
    """A session as callers see it."""
    return RdpSession(
        session=record.session,
        port=record.begin.port,
        state=record.state,
        began_ms=record.began_ms,
        ended_ms=record.ended_ms,
        ending=record.ending,
        detail=record.detail,
        client=record.client,
    )
