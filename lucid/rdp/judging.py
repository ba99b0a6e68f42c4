"""What ends an RDP session by itself: rules on what was seen of it. No I/O.

A desktop that lives and is not recorded is a violation. That the agent is out of reach ends nothing.
"""

from dataclasses import dataclass
from typing import Literal

from lucid.contracts.xrdp import Slot
from lucid.evidence.policy import TrustPolicy
from lucid.rdp.life import End, Record, with_slot

SURE_SECONDS = 2.0
"""A recording that is over may be so because the desktop is: so long the agent has time to say so."""
RESTART_SECONDS = {"end": 10.0, "gap": 60.0}
"""How long the recorder may be out of reach, by the policy's `on_recorder_loss`: it may be restarting."""


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
    evictions: int = 0
    """How often somebody in the session had the X server cut the recorder off."""


@dataclass(frozen=True)
class Unrecorded:
    """That the recorder does not say that it records. Not kept: in doubt a session gets longer."""

    word: Word
    since: float
    """Since when it says this."""
    silent: float
    """Since when it has said nothing better."""


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
    end = _desktop_over(sight) or _cut_off(sight, policy) or _violation(unrecorded, sight, policy, now)
    end = end or _expired(record, policy, now)
    if end is None and sight.agent:  # else somebody may be there, unseen
        end = _unused(record, terms, now)
    return Verdict(record, unrecorded, end)


def _unrecorded(before: Unrecorded | None, sight: Sight, now: float) -> Unrecorded | None:
    if sight.recorder == "recording":
        return None
    if before is not None and before.word == sight.recorder:
        return before
    return Unrecorded(sight.recorder, now, before.silent if before is not None else now)


def _desktop_over(sight: Sight) -> End | None:
    if not sight.agent:
        return None
    if sight.slot is None:
        return End("logged_out", "its desktop is gone")
    return End("logged_out", "its desktop has ended") if sight.slot.desktop == "over" else None


def _cut_off(sight: Sight, policy: TrustPolicy) -> End | None:
    """Somebody in the session had the recorder thrown out. It is back at once, but this was no accident."""
    if not sight.agent or not sight.evictions or policy.on_recorder_loss != "end":
        return None
    return End("violation", "its recorder was cut off from the display by its X server", "recorder_ended")


def _violation(unrecorded: Unrecorded | None, sight: Sight, policy: TrustPolicy, now: float) -> End | None:
    """A desktop that lives and is not recorded. Without the agent nobody knows whether it lives."""
    if unrecorded is None or not sight.agent:
        return None
    if sight.end_reason == "quota":
        return End("expired", "its recording has reached its largest size")
    restart = RESTART_SECONDS[policy.on_recorder_loss]
    sure = unrecorded.word != "unreachable" and now - unrecorded.since >= SURE_SECONDS
    if not sure and now - unrecorded.silent < restart:
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
