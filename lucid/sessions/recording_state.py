"""What a recording must not forget: enough to go on after a kill -9. Values and pure rules, no I/O."""

from typing import Literal

import msgspec

from lucid.contracts.session_recorder import StartRecording
from lucid.evidence.manifest import EndReason, Gap, GapCause

PICTURE = 0
"""The track that holds the screen."""
CODEC = 'video/mp4; codecs="avc1"'
"""What is in that track, as an RFC 6381 media type."""
MOST_GAPS = 1000
"""A recording with more interruptions than a manifest can name ends instead."""

Phase = Literal["recording", "paused", "finishing", "finished", "failed"]
Stop = Literal["stopped", "violation"]
"""Why a recording was told to end."""
UNDER_WAY: frozenset[Phase] = frozenset({"recording", "paused"})


class OpenGap(msgspec.Struct, frozen=True):
    """A gap whose end is not known yet."""

    start_ms: int
    cause: GapCause


class Signed(msgspec.Struct, frozen=True):
    """An anchor or manifest, kept from before it is sent until it has been read back."""

    count: int
    entry: str
    """Leaf hash, hex."""
    envelope: str
    signed_ms: int
    final: bool = False


class State(msgspec.Struct, frozen=True, kw_only=True):
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
    open_gap: OpenGap | None = None
    anchors: tuple[Signed, ...] = ()
    """Interim anchors in the order they were signed; those that are final but for the last are dropped."""
    manifest: Signed | None = None


def interrupted(state: State, last_end_ms: int, cause: GapCause) -> State:
    """The capture broke off; the last chunk that is durable ended at `last_end_ms`.

    A gap that is open stays as it is. One that was closed for a chunk that never became durable is opened
    again, with its own cause.
    """
    if state.open_gap is not None or last_end_ms == 0:
        return state
    if state.gaps and state.gaps[-1].end_ms > last_end_ms:
        last = state.gaps[-1]
        return msgspec.structs.replace(
            state, gaps=state.gaps[:-1], open_gap=OpenGap(last.start_ms, last.cause)
        )
    return msgspec.structs.replace(state, open_gap=OpenGap(last_end_ms, cause))


def evicted(state: State) -> State:
    """The X server has cut the recorder off: somebody in the session has asked it to."""
    return msgspec.structs.replace(state, evictions=state.evictions + 1)


def resumed(state: State, start_ms: int) -> State:
    """A chunk that starts at `start_ms` is about to become durable: it ends the open gap, if any."""
    if state.open_gap is None:
        return state
    gap = Gap(
        track=PICTURE,
        start_ms=state.open_gap.start_ms,
        end_ms=max(start_ms, state.open_gap.start_ms),
        cause=state.open_gap.cause,
    )
    return msgspec.structs.replace(state, gaps=(*state.gaps, gap), open_gap=None)


def resumable(state: State) -> State:
    """A paused recording goes on; one that is over stays so."""
    return msgspec.structs.replace(state, phase="recording") if state.phase == "paused" else state


def stopping(state: State, now_ms: int, reason: Stop = "stopped") -> State:
    """It is told to stop, and will, in whichever life of the recorder. The first time stands."""
    if state.phase not in UNDER_WAY or state.stop_ms is not None:
        return state
    return msgspec.structs.replace(state, stop_ms=now_ms, stop_reason=reason)


def ended(state: State, reason: EndReason, now_ms: int) -> State:
    """The capture is over for good. The first reason stands."""
    if state.phase not in UNDER_WAY:
        return state
    return msgspec.structs.replace(
        state, phase="finishing", end_reason=reason, ended_ms=now_ms, open_gap=None
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
