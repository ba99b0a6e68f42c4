"""What a recording must not forget: enough to go on after a kill -9. Values and pure rules, no I/O."""

from typing import Literal

import msgspec

from lucid.contracts.session_recorder import StartRecording, Stop
from lucid.evidence.checks import HOLE_LIMIT_MS
from lucid.evidence.manifest import EndReason, Gap, GapCause

PICTURE = 0
"""The track that holds the screen."""
EVENTS = 1
"""The track that holds what was typed, clicked and copied, where the policy has that recorded."""
CODECS = {PICTURE: 'video/mp4; codecs="avc1"', EVENTS: "application/vnd.lucid.events+jsonl"}
"""What is in each track, as a media type (RFC 6381)."""
NAMES = {PICTURE: "picture", EVENTS: "events track"}
MOST_GAPS = 1000
"""A recording with more interruptions than a manifest can name ends instead."""

Phase = Literal["recording", "paused", "finishing", "finished", "failed"]
UNDER_WAY: frozenset[Phase] = frozenset({"recording", "paused"})


class OpenGap(msgspec.Struct, frozen=True):
    """A gap whose end is not known yet."""

    start_ms: int
    cause: GapCause
    track: int = PICTURE


class Signed(msgspec.Struct, frozen=True):
    """An anchor or manifest, kept from before it is sent until it has been read back."""

    count: int
    entry: str
    """Leaf hash, hex."""
    envelope: str
    signed_ms: int
    final: bool = False


class State(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A recording's state, replaced on disk as a whole."""

    request: StartRecording
    phase: Phase
    started_ms: int
    stop_ms: int | None = None
    """When it was told to stop; what is left of its capture may still be taken in."""
    stop_reason: Stop = "stopped"
    """Why, if it was told to stop."""
    ended_ms: int | None = None
    end_reason: EndReason | None = None
    error: str | None = None
    evictions: int = 0
    """How often the X server has cut the recorder off while it went on living."""
    gaps: tuple[Gap, ...] = ()
    open_gaps: tuple[OpenGap, ...] = ()
    """At most one for each track."""
    open_gap: OpenGap | None = None
    """The picture's, as it was written before there were other tracks; never written."""
    anchors: tuple[Signed, ...] = ()
    """Interim anchors in the order they were signed; those that are final but for the last are dropped."""
    manifest: Signed | None = None


def evicted(state: State) -> State:
    """The X server has cut the recorder off: somebody in the session has asked it to."""
    return msgspec.structs.replace(state, evictions=state.evictions + 1)


def decode(saved: bytes) -> State:
    """A state as it was saved, by an earlier version too. Raises msgspec.MsgspecError: it is none."""
    state = msgspec.json.decode(saved, type=State)
    if state.open_gap is None:
        return state
    return msgspec.structs.replace(state, open_gaps=(state.open_gap,), open_gap=None)


def tracks(state: State) -> tuple[int, ...]:
    """The tracks that the recording has."""
    return (PICTURE, EVENTS) if state.request.events else (PICTURE,)


def interrupted(state: State, last_end_ms: int, cause: GapCause, track: int = PICTURE) -> State:
    """The capture of a track broke off; its last chunk that is durable ended at `last_end_ms`.

    A gap that is open stays as it is. One that was closed for a chunk that never became durable is opened
    again, with its own cause. Before its first chunk nothing of the track can be missing.
    """
    if last_end_ms == 0 or any(gap.track == track for gap in state.open_gaps):
        return state
    last = max((gap for gap in state.gaps if gap.track == track), key=lambda gap: gap.end_ms, default=None)
    if last is not None and last.end_ms > last_end_ms:
        gaps = tuple(gap for gap in state.gaps if gap is not last)
        return _opened(msgspec.structs.replace(state, gaps=gaps), OpenGap(last.start_ms, last.cause, track))
    return _opened(state, OpenGap(last_end_ms, cause, track))


def resumed(state: State, start_ms: int, track: int = PICTURE) -> State:
    """A chunk of the track that starts at `start_ms` is about to become durable: it ends the open gap."""
    left = tuple(gap for gap in state.open_gaps if gap.track != track)
    ended = tuple(_closed(gap, start_ms) for gap in state.open_gaps if gap.track == track)
    return msgspec.structs.replace(state, gaps=(*state.gaps, *ended), open_gaps=left) if ended else state


def _opened(state: State, gap: OpenGap) -> State:
    return msgspec.structs.replace(state, open_gaps=(*state.open_gaps, gap))


def _closed(gap: OpenGap, end_ms: int) -> Gap:
    return Gap(track=gap.track, start_ms=gap.start_ms, end_ms=max(end_ms, gap.start_ms), cause=gap.cause)


def resumable(state: State) -> State:
    """A paused recording goes on; one that is over stays so."""
    return msgspec.structs.replace(state, phase="recording") if state.phase == "paused" else state


def stopping(state: State, now_ms: int, reason: Stop = "stopped") -> State:
    """It is told to stop, and will, in whichever life of the recorder. The first time stands."""
    if state.phase not in UNDER_WAY or state.stop_ms is not None:
        return state
    return msgspec.structs.replace(state, stop_ms=now_ms, stop_reason=reason)


def ended(state: State, reason: EndReason, now_ms: int, last_end_ms: int = 0) -> State:
    """The capture is over for good; the newest chunk of any track ended at `last_end_ms`.

    The first reason stands. A track that was interrupted and did not come back is missing until then.
    """
    if state.phase not in UNDER_WAY:
        return state
    missing = tuple(
        _closed(gap, last_end_ms) for gap in state.open_gaps if last_end_ms - gap.start_ms > HOLE_LIMIT_MS
    )
    return msgspec.structs.replace(
        state,
        phase="finishing",
        end_reason=reason,
        ended_ms=now_ms,
        gaps=(*state.gaps, *missing),
        open_gaps=(),
    )


def with_final(state: State, entry: str) -> State:
    """The anchor named `entry` has been read back from a final block."""
    anchors = tuple(msgspec.structs.replace(a, final=True) if a.entry == entry else a for a in state.anchors)
    while len(anchors) > 1 and anchors[0].final and anchors[1].final:
        anchors = anchors[1:]
    manifest = state.manifest
    if manifest is not None and manifest.entry == entry:
        manifest = msgspec.structs.replace(manifest, final=True)
    return msgspec.structs.replace(state, anchors=anchors, manifest=manifest)


def anchored_count(state: State) -> int:
    """Chunks, counted from the first, that a final anchor covers."""
    signed = [*state.anchors, *([state.manifest] if state.manifest else [])]
    return max((a.count for a in signed if a.final), default=0)
