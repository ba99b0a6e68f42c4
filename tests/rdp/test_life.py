"""What ends an RDP session, and what does not."""

import dataclasses
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from lucid.contracts.session_controller import Begin, State
from lucid.contracts.xrdp import Slot
from lucid.evidence.policy import TrustPolicy
from lucid.rdp import judging, life
from lucid.rdp.judging import Sight, Terms, Unrecorded, Verdict, Word
from lucid.rdp.life import End, Record

SESSION = "0b6ff1f4-2f0c-4d0e-8b39-9e6f5f4c0a11"
OTHER = "0b6ff1f4-2f0c-4d0e-8b39-9e6f5f4c0a12"
PORT, CLIENT = 13390, "192.0.2.7"
KEY = Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex()
POLICY = TrustPolicy(name="desk", owner_key=KEY, session_seconds=28_800)
LENIENT = msgspec.structs.replace(POLICY, on_recorder_loss="gap")
TERMS = Terms(first_login=300, disconnected=900)
START = 1000.0


def record(**changes: Any) -> Record:
    begin = Begin(port=PORT, trust="{}", width=800, height=600)
    fields: dict[str, Any] = {
        "session": SESSION, "begin": begin, "boot": "b1", "state": "ready", "began_ms": 5, "began": START,
        "recorded": True,
    }  # fmt: skip
    return Record(**fields | changes)


def slot(**changes: Any) -> Slot:
    fields: dict[str, Any] = {
        "port": PORT, "session": SESSION, "desktop": "running", "listening": True, "clients": (),
        "logged_in_ms": None,
    }  # fmt: skip
    return Slot(**fields | changes)


IN = slot(clients=(CLIENT,), logged_in_ms=7)
OUT = slot(logged_in_ms=7)


def sight(found: Slot | None = None, word: Word = "recording", reason: str | None = None) -> Sight:
    return Sight(agent=True, slot=slot() if found is None else found, recorder=word, end_reason=reason)


def judge(
    seen: Sight,
    *,
    after: float = 1,
    before: Unrecorded | None = None,
    policy: TrustPolicy = POLICY,
    **changes: Any,
) -> Verdict:
    return judging.judge(record(**changes), before, seen, policy, TERMS, START + after)


def ending(verdict: Verdict) -> str | None:
    return verdict.end.ending if verdict.end else None


class TestPeople:
    def test_who_has_logged_in_is_connected(self) -> None:
        found = judge(sight(IN)).record
        assert (found.state, found.client) == ("connected", CLIENT)

    def test_who_has_only_opened_a_connection_is_not(self) -> None:
        assert judge(sight(slot(clients=(CLIENT,)))).record.state == "ready"

    def test_who_has_left_is_disconnected_since_then(self) -> None:
        found = judge(sight(OUT), after=50, state="connected", client=CLIENT).record
        assert (found.state, found.client, found.left) == ("disconnected", None, START + 50)

    def test_who_came_and_went_between_two_looks_was_there(self) -> None:
        assert judge(sight(OUT)).record.state == "disconnected"

    def test_an_admission_of_somebody_else_cuts_off(self) -> None:
        """The agent forgets the login then."""
        assert judge(sight(slot()), state="connected", client=CLIENT).record.state == "disconnected"

    def test_nothing_that_stays_as_it_is_is_written_again(self) -> None:
        for found, changes in (
            (slot(), {}),
            (IN, {"state": "connected", "client": CLIENT}),
            (OUT, {"state": "disconnected", "left": START}),
        ):
            before = record(**changes)
            assert judging.judge(before, None, sight(found), POLICY, TERMS, START + 9).record is before

    def test_without_the_agent_nothing_is_known_of_them(self) -> None:
        blind = Sight(agent=False, slot=None, recorder="recording")
        found = judge(blind, after=5000, state="connected", client=CLIENT)
        assert (found.record.state, found.end) == ("connected", None)


class TestTime:
    @pytest.mark.parametrize(
        ("changes", "after", "expected"),
        [
            ({}, 299, None),
            ({}, 300, "not_used"),
            ({"admitted": START + 100}, 399, None),
            ({"admitted": START + 100}, 400, "not_used"),
            ({"state": "disconnected", "left": START + 10}, 909, None),
            ({"state": "disconnected", "left": START + 10}, 910, "disconnected"),
            ({"state": "disconnected", "left": START + 10, "admitted": START + 500}, 1399, None),
            ({"state": "disconnected", "left": START + 10, "admitted": START + 500}, 1400, "disconnected"),
            ({"state": "disconnected", "left": START + 10, "admitted": START + 1}, 909, None),
        ],
    )
    def test_a_desktop_waits_for_people_for_so_long(
        self, changes: dict[str, Any], after: float, expected: str | None
    ) -> None:
        assert ending(judge(sight(), after=after, **changes)) == expected

    def test_who_is_connected_is_not_waited_for(self) -> None:
        assert judge(sight(IN), after=28_799, state="connected", client=CLIENT).end is None

    def test_a_login_at_the_last_moment_counts(self) -> None:
        assert judge(sight(IN), after=9999).end is None

    def test_all_has_an_end_when_the_policy_says(self) -> None:
        assert ending(judge(sight(IN), after=28_800, state="connected", client=CLIENT)) == "expired"

    def test_that_end_comes_without_the_agent_too(self) -> None:
        blind = Sight(agent=False, slot=None, recorder="unreachable")
        assert ending(judge(blind, after=28_800)) == "expired"


class TestDesktop:
    def test_one_that_is_over_has_ended_the_session(self) -> None:
        assert ending(judge(sight(slot(desktop="over")))) == "logged_out"

    def test_one_that_is_gone_has_too(self) -> None:
        gone = Sight(agent=True, slot=None, recorder="recording")
        assert ending(judge(gone)) == "logged_out"

    def test_one_that_starts_lives(self) -> None:
        assert judge(sight(slot(desktop="starting"))).end is None

    def test_with_it_the_recording_ends_rightly(self) -> None:
        """Both say so at once, or the recorder a moment before the agent."""
        first = judge(sight(word="over", reason="display_lost"))
        assert first.end is None
        second = sight(slot(desktop="over"), "over", "display_lost")
        assert ending(judge(second, after=9, before=first.unrecorded)) == "logged_out"


class TestRecording:
    @pytest.mark.parametrize("word", ["over", "unknown"])
    def test_a_desktop_that_lives_without_it_is_a_violation(self, word: Word) -> None:
        first = judge(sight(IN, word), after=10)
        assert first.end is None
        assert first.unrecorded == Unrecorded(word, START + 10, START + 10)
        assert judge(sight(IN, word), after=11.9, before=first.unrecorded).end is None
        last = judge(sight(IN, word), after=12, before=first.unrecorded)
        assert last.end is not None
        assert last.end.ending == "violation"
        assert last.end.violation == ("recorder_ended" if word == "over" else "recorder_lost")

    @pytest.mark.parametrize(("policy", "patience"), [(POLICY, 10), (LENIENT, 60)])
    def test_a_recorder_may_restart_for_as_long_as_the_policy_says(
        self, policy: TrustPolicy, patience: float
    ) -> None:
        since = Unrecorded("unreachable", START, START)
        for after, expected in ((patience - 0.1, None), (patience, "violation")):
            found = judge(sight(IN, "unreachable"), after=after, before=since, policy=policy)
            assert ending(found) == expected

    def test_a_recorder_that_came_back_was_never_away(self) -> None:
        back = judge(sight(IN), after=9, before=Unrecorded("unreachable", START, START))
        assert back.unrecorded is None
        assert judge(sight(IN, "unreachable"), after=11, before=back.unrecorded).end is None

    def test_it_does_not_wait_for_a_recorder_that_says_no(self) -> None:
        """After its restart it does not know the session any more: patience for a restart is no use."""
        told = judge(
            sight(IN, "unknown"), after=30, before=Unrecorded("unreachable", START, START), policy=LENIENT
        )
        assert told.end is None
        last = judge(sight(IN, "unknown"), after=32, before=told.unrecorded, policy=LENIENT)
        assert ending(last) == "violation"

    def test_whoever_throws_the_recorder_out_has_broken_the_policy_unless_it_accepts_gaps(self) -> None:
        thrown_out = Sight(agent=True, slot=slot(), recorder="recording", evictions=1)
        end = judge(thrown_out).end
        assert end is not None
        assert (end.ending, end.violation) == ("violation", "recorder_ended")
        assert judge(thrown_out, policy=LENIENT).end is None
        assert judge(dataclasses.replace(thrown_out, agent=False)).end is None

    def test_a_full_recording_is_no_violation(self) -> None:
        assert judge(sight(IN, "over", "quota")).end == End(
            "expired", "its recording has reached its largest size"
        )

    def test_without_the_agent_nobody_knows_whether_it_is_one(self) -> None:
        blind = Sight(agent=False, slot=None, recorder="over")
        found = judge(blind, after=100, before=Unrecorded("over", START, START))
        assert found.end is None
        assert found.unrecorded == Unrecorded("over", START, START)

    @given(
        looks=st.lists(
            st.tuples(st.floats(0.1, 30), st.sampled_from(["recording", "over", "unknown", "unreachable"])),
            max_size=30,
        ),
        policy=st.sampled_from([POLICY, LENIENT]),
    )
    def test_no_desktop_lives_unrecorded_for_longer_than_it_may(
        self, looks: list[tuple[float, Word]], policy: TrustPolicy
    ) -> None:
        """Whatever the recorder says when: as long as nothing ends the session, every silence is short."""
        now, before, silent = START, None, None
        for pause, word in looks:
            now += pause
            silent = None if word == "recording" else now if silent is None else silent
            found = judging.judge(
                record(state="connected", client=CLIENT), before, sight(IN, word), policy, TERMS, now
            )
            before = found.unrecorded
            if found.end is not None:
                assert silent is not None
                assert now - silent >= judging.SURE_SECONDS
                return
            assert silent is None or now - silent < judging.RESTART_SECONDS[policy.on_recorder_loss]


class TestEnd:
    def test_the_first_reason_stands(self) -> None:
        first = life.ending(record(), End("violation", "no recorder", "recorder_lost"), 77)
        assert life.ending(first, End("requested", "by hand"), 78) is first
        assert (first.ending, first.detail) == ("violation", "no recorder")
        assert first.violation == life.Violation("recorder_lost", "no recorder", 77)

    def test_what_is_over_is_never_anything_else_again(self) -> None:
        for state in life.OVER:
            over = record(state=state, ending="requested")
            for rule in (life.to_be_recorded, life.ready):
                assert rule(over) is over
            assert life.admitted(over, 5) is over
            assert life.disconnected(over, 5) is over
            assert life.failed(over, life.Failure("LUCID_ERR_5008", "away")) is over

    def test_an_end_is_settled_once_everybody_knows(self) -> None:
        end = End("violation", "no recorder", "recorder_lost")
        ended = life.ended(life.ending(record(), end, 1), "b1", START, 1)
        assert not ended.settled
        assert not life.stopped(ended).settled
        assert life.reported(life.stopped(ended)).settled

    def test_it_is_told_of_for_an_hour(self) -> None:
        ended = life.stopped(life.ended(life.ending(record(), End("requested", "x"), 1), "b1", START, 1))
        assert not life.forgotten(ended, "b1", START + 3599)
        assert life.forgotten(ended, "b1", START + 3600)

    def test_while_session_api_does_not_know_it_is_kept_for_a_day(self) -> None:
        ended = life.ended(life.ending(record(), End("requested", "x"), 1), "b1", START, 1)
        assert not life.forgotten(ended, "b1", START + 86_399)
        assert life.forgotten(ended, "b1", START + 86_400)

    def test_one_of_an_earlier_boot_is_told_of_since_this_one(self) -> None:
        ended = life.stopped(life.ended(life.ending(record(), End("requested", "x"), 1), "b1", START, 1))
        assert not life.forgotten(ended, "b2", 3599)
        assert life.forgotten(ended, "b2", 3600)

    def test_one_that_ends_with_the_next_boot_is_told_of_from_then_on(self) -> None:
        """Where the clock is not the host's own, as in containers, the boot itself may be long ago."""
        ended = life.stopped(life.ended(life.ending(record(), End("host_lost", "x"), 1), "b2", 90_000, 1))
        assert not life.forgotten(ended, "b2", 93_599)
        assert life.forgotten(ended, "b2", 93_600)

    def test_what_lives_is_never_forgotten(self) -> None:
        assert not life.forgotten(record(), "b2", 10**9)


class TestRestart:
    @pytest.mark.parametrize("state", ["starting", "ready", "connected", "disconnected"])
    def test_no_session_outlives_its_host(self, state: str) -> None:
        end = life.left_behind(record(state=state), "b2")
        assert end is not None
        assert end.ending == "host_lost"

    def test_a_start_that_was_broken_off_is_ended(self) -> None:
        end = life.left_behind(record(state="starting"), "b1")
        assert end is not None
        assert end.ending == "failed"

    @pytest.mark.parametrize("state", ["ready", "connected", "disconnected", "ending", "ended"])
    def test_all_others_go_on(self, state: str) -> None:
        assert life.left_behind(record(state=state), "b1") is None

    def test_a_record_comes_back_as_it_was(self) -> None:
        full = life.ending(
            record(left=3.5, admitted=2.5, failure=life.Failure("LUCID_ERR_5008", "away")),
            End("violation", "no recorder", "recorder_lost"),
            5,
        )
        assert msgspec.json.decode(msgspec.json.encode(full), type=Record) == full


class TestOrphans:
    def test_a_slot_of_nobody_is_one(self) -> None:
        assert life.orphans((slot(),), {}) == {(PORT, SESSION)}

    def test_so_is_one_of_an_ended_session_or_of_another_one(self) -> None:
        ended = record(state="ended")
        assert life.orphans((slot(),), {SESSION: ended}) == {(PORT, SESSION)}
        assert life.orphans((slot(session=OTHER),), {SESSION: record()}) == {(PORT, OTHER)}

    @pytest.mark.parametrize("state", ["starting", "ready", "connected", "disconnected", "ending"])
    def test_one_whose_session_lives_is_none(self, state: str) -> None:
        assert not life.orphans((slot(),), {SESSION: record(state=state)})

    def test_a_port_is_taken_until_nothing_is_left(self) -> None:
        assert life.at_port(PORT, {SESSION: record(state="ending")}) is not None
        assert life.at_port(PORT, {SESSION: record(state="ended")}) is None


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (End("requested", "x"), True),
        (End("not_recorded", "x"), False),
        (End("violation", "x", "recorder_ended"), True),
        (End("violation", "x", "recorder_lost"), False),
    ],
)
def test_only_a_recorder_that_answers_holds_up_the_end(end: End, expected: bool) -> None:
    assert life.has_last_frame(life.ending(record(), end, 1)) is expected
    assert not life.has_last_frame(life.ending(record(recorded=False), end, 1))


def test_the_manifest_is_to_say_what_was_a_violation() -> None:
    assert life.reason(life.ending(record(), End("violation", "x", "recorder_ended"), 1)) == "violation"
    assert life.reason(life.ending(record(), End("requested", "x"), 1)) == "stopped"


@pytest.mark.parametrize(
    ("state", "listening", "logged_in", "in_vain"),
    [
        ("disconnected", True, 7, True),
        ("disconnected", False, 7, False),
        ("disconnected", True, None, False),  # somebody is let in anew
        ("connected", True, 7, False),
        ("ready", True, None, False),
    ],
)
def test_a_listener_is_in_vain_once_who_logged_in_has_left(
    state: State, listening: bool, logged_in: int | None, in_vain: bool
) -> None:
    seen = slot(listening=listening, logged_in_ms=logged_in)
    assert life.in_vain(record(state=state), seen) is in_vain
