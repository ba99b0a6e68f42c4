"""The life of an RDP session: what is remembered of it, and what ends it. Values and pure rules, no I/O.

Lengths of time are counted in seconds since the host booted: a clock that nobody sets, and that begins anew
when all sessions of the host have ended anyway.
"""

from dataclasses import dataclass
from typing import Literal

import msgspec

from lucid.contracts.session_controller import Begin, Ending, RdpSession, State
from lucid.contracts.types import SessionId
from lucid.contracts.xrdp import Slot
from lucid.evidence.policy import TrustPolicy

LIVE: frozenset[State] = frozenset({"ready", "connected", "disconnected"})
OVER: frozenset[State] = frozenset({"ending", "ended"})

SURE_SECONDS = 2.0
"""A recording that is over may be so because the desktop is: so long the agent has time to say so."""
RESTART_SECONDS = {"end": 10.0, "gap": 60.0}
"""How long the recorder may be out of reach, by the policy's `on_recorder_loss`: it may be restarting."""
TOLD_SECONDS = 3600.0
"""How long an ended session is told of."""

ViolationKind = Literal["recorder_ended", "recorder_lost"]


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
    violation: ViolationKind | None = None
    """What it violated, until session-api knows."""

    @property
    def settled(self) -> bool:
        """It has ended, and whoever must know of that does."""
        return self.state == "ended" and not self.recorded and self.violation is None


@dataclass(frozen=True)
class Terms:
    """How long a desktop waits for people, in seconds."""

    first_login: float
    disconnected: float


Word = Literal["recording", "over", "unknown", "unreachable"]
"""What the recorder says of a session, if anything."""


@dataclass(frozen=True)
class Sight:
    """What was seen of a session at one look. Without the agent, nothing is known of its slot."""

    agent: bool
    slot: Slot | None
    recorder: Word
    end_reason: str | None = None
    """Of a recording that is over."""


@dataclass(frozen=True)
class Unrecorded:
    """Since when the recorder has not said that it records. Not kept: in doubt a session gets longer."""

    word: Word
    since: float


class End(msgspec.Struct, frozen=True):
    """That a session is to end, and why."""

    ending: Ending
    detail: str
    violation: ViolationKind | None = None


@dataclass(frozen=True)
class Verdict:
    """What follows from a look."""

    record: Record
    unrecorded: Unrecorded | None
    end: End | None = None


def judge(
    record: Record, before: Unrecorded | None, sight: Sight, policy: TrustPolicy, terms: Terms, now: float
) -> Verdict:
    """What a look at a live session changes in it, and whether it is to end."""
    unrecorded = _unrecorded(before, sight, now)
    record = with_slot(record, sight.slot, now) if sight.slot is not None else record
    end = _desktop_over(sight) or _violation(unrecorded, sight, policy, now) or _expired(record, policy, now)
    if end is None and sight.agent:  # else somebody may be there, unseen
        end = _unused(record, terms, now)
    return Verdict(record, unrecorded, end)


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


def ending(record: Record, end: End) -> Record:
    """It is to end, whatever becomes of those who see to that. The first reason stands."""
    if record.state in OVER:
        return record
    return msgspec.structs.replace(
        record,
        state="ending",
        ending=end.ending,
        detail=end.detail,
        violation=end.violation,
        client=None,
    )


def ended(record: Record, now: float, now_ms: int) -> Record:
    """Nothing of it is left on this host."""
    if record.state == "ended":
        return record
    return msgspec.structs.replace(record, state="ended", ended=now, ended_ms=now_ms, client=None)


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
    if not record.settled:
        return False
    since = record.ended if record.boot == boot and record.ended is not None else 0.0
    return now - since >= TOLD_SECONDS


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


def _unrecorded(before: Unrecorded | None, sight: Sight, now: float) -> Unrecorded | None:
    if sight.recorder == "recording":
        return None
    if before is not None and before.word == sight.recorder:
        return before
    return Unrecorded(sight.recorder, now)


def _desktop_over(sight: Sight) -> End | None:
    if not sight.agent:
        return None
    if sight.slot is None:
        return End("logged_out", "its desktop is gone")
    return End("logged_out", "its desktop has ended") if sight.slot.desktop == "over" else None


def _violation(unrecorded: Unrecorded | None, sight: Sight, policy: TrustPolicy, now: float) -> End | None:
    """A desktop that lives and is not recorded. Without the agent nobody knows whether it lives."""
    if unrecorded is None or not sight.agent:
        return None
    if sight.end_reason == "quota":
        return End("expired", "its recording has reached its largest size")
    restart = RESTART_SECONDS[policy.on_recorder_loss]
    if now - unrecorded.since < (restart if unrecorded.word == "unreachable" else SURE_SECONDS):
        return None
    if unrecorded.word == "over":
        why = sight.end_reason or "failed"
        return End("violation", f"its recording has ended while its desktop lives ({why})", "recorder_ended")
    lost = f"was out of reach for {restart:g} s" if unrecorded.word == "unreachable" else "knows it no more"
    return End("violation", f"its recorder {lost}", "recorder_lost")


def _expired(record: Record, policy: TrustPolicy, now: float) -> End | None:
    if now - record.began < policy.session_seconds:
        return None
    return End("expired", f"it has had the {policy.session_seconds} s that its policy allows")


def _unused(record: Record, terms: Terms, now: float) -> End | None:
    admitted = record.admitted if record.admitted is not None else record.began
    if record.state == "ready" and now - admitted >= terms.first_login:
        return End("not_used", f"nobody logged in within {terms.first_login:g} s")
    since = max(admitted, record.left if record.left is not None else admitted)
    if record.state == "disconnected" and now - since >= terms.disconnected:
        return End("disconnected", f"nobody came back within {terms.disconnected:g} s")
    return None
