"""Gaps are named with cause and length, whatever breaks off in between."""

import msgspec

from lucid.contracts.session_recorder import StartRecording
from lucid.evidence.manifest import Gap
from lucid.sessions import recording_state as rules
from lucid.sessions.recording_state import OpenGap, Signed, State

REQUEST = StartRecording(
    session="00000000-0000-4000-8000-000000000000",
    owner="00000000-0000-4000-8000-000000000001",
    display=":7",
    cookie="0" * 32,
    frame_rate=30,
    quality="high",
    policy_sha256="0" * 64,
    max_bytes=2**30,
)
RUNNING = State(request=REQUEST, phase="recording", started_ms=0)


def gap(start: int, end: int, cause: str = "capture_restarted", track: int = 0) -> Gap:
    return msgspec.convert({"track": track, "start_ms": start, "end_ms": end, "cause": cause}, Gap)


def test_a_gap_reaches_from_the_last_durable_chunk_to_the_next() -> None:
    state = rules.interrupted(RUNNING, 1000, "capture_restarted")
    assert state.open_gaps == (OpenGap(1000, "capture_restarted"),)
    state = rules.resumed(state, 2500)
    assert (state.gaps, state.open_gaps) == ((gap(1000, 2500),), ())


def test_before_the_first_chunk_nothing_can_be_missing() -> None:
    assert rules.interrupted(RUNNING, 0, "capture_restarted") is RUNNING


def test_an_open_gap_keeps_its_beginning_and_its_cause() -> None:
    state = rules.interrupted(RUNNING, 1000, "paused")
    assert rules.interrupted(state, 1000, "recorder_restarted") is state


def test_a_gap_closed_for_a_chunk_that_was_never_durable_is_open_again() -> None:
    closed = rules.resumed(rules.interrupted(RUNNING, 1000, "paused"), 2000)
    state = rules.interrupted(closed, 1000, "recorder_restarted")
    assert (state.gaps, state.open_gaps) == ((), (OpenGap(1000, "paused"),))
    assert rules.resumed(state, 3000).gaps == (gap(1000, 3000, "paused"),)


class TestSeveralTracks:
    def test_are_interrupted_and_go_on_each_for_itself(self) -> None:
        state = rules.interrupted(RUNNING, 1000, "recorder_restarted")
        state = rules.interrupted(state, 700, "recorder_restarted", rules.EVENTS)
        state = rules.resumed(state, 1500, rules.EVENTS)
        assert state.gaps == (gap(700, 1500, "recorder_restarted", 1),)
        assert state.open_gaps == (OpenGap(1000, "recorder_restarted"),)
        assert rules.resumed(state, 1600, rules.EVENTS) is state

    def test_a_gap_that_is_open_again_is_the_tracks_own(self) -> None:
        state = rules.resumed(rules.interrupted(RUNNING, 1000, "paused"), 2000)
        state = rules.interrupted(state, 900, "capture_restarted", rules.EVENTS)
        assert state.gaps == (gap(1000, 2000, "paused"),)
        state = rules.resumed(state, 5000, rules.EVENTS)
        state = rules.interrupted(state, 900, "recorder_restarted", rules.EVENTS)
        assert state.gaps == (gap(1000, 2000, "paused"),)
        assert state.open_gaps == (OpenGap(900, "capture_restarted", 1),)

    def test_one_that_does_not_come_back_is_missing_to_the_end_of_all(self) -> None:
        state = rules.interrupted(RUNNING, 1000, "capture_restarted", rules.EVENTS)
        assert rules.ended(state, "stopped", 9000, 9000).gaps == (gap(1000, 9000, track=1),)
        assert rules.ended(state, "stopped", 9000, 2500).gaps == ()
        assert rules.ended(state, "stopped", 9000, 9000).open_gaps == ()

    def test_are_those_that_the_request_names(self) -> None:
        with_events = msgspec.structs.replace(REQUEST, events=("input",))
        assert rules.tracks(RUNNING) == (rules.PICTURE,)
        assert rules.tracks(msgspec.structs.replace(RUNNING, request=with_events)) == (0, 1)


def test_a_state_from_before_there_were_tracks_keeps_its_open_gap() -> None:
    saved = msgspec.to_builtins(RUNNING) | {"open_gap": {"start_ms": 1000, "cause": "paused"}}
    assert rules.decode(msgspec.json.encode(saved)).open_gaps == (OpenGap(1000, "paused"),)


def test_the_first_reason_to_end_stands() -> None:
    state = rules.ended(RUNNING, "quota", 5000)
    assert rules.ended(state, "stopped", 6000) is state
    assert (state.phase, state.end_reason, state.ended_ms) == ("finishing", "quota", 5000)


def test_only_the_newest_final_anchor_is_kept() -> None:
    anchors = tuple(Signed(count, f"{count}", "", 0) for count in (0, 3, 9))
    state = msgspec.structs.replace(RUNNING, anchors=anchors)
    assert rules.anchored_count(state) == 0
    state = rules.with_final(rules.with_final(state, "0"), "3")
    assert [a.count for a in state.anchors] == [3, 9]
    assert rules.anchored_count(state) == 3


def test_the_state_survives_being_written_down() -> None:
    state = rules.resumed(rules.interrupted(RUNNING, 1000, "paused"), 2000)
    assert msgspec.json.decode(msgspec.json.encode(state), type=State) == state


def test_the_display_cookie_is_in_no_repr() -> None:
    assert REQUEST.cookie not in repr(REQUEST)
    assert REQUEST.cookie not in repr(RUNNING)
