"""The rules: what may join the log, and when a block is valid."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lucid.blocks import state as rules
from lucid.blocks.entries import LogEntry, Refused
from lucid.blocks.proposal import Waiting, propose
from lucid.blocks.state import ChainState, InvalidBlock, apply_block, apply_entry, touched, validate_header
from lucid.evidence import merkle
from lucid.evidence.block import Header
from tests.blocks.world import START_MS, Signer, applied, forged, genesis, recording, root_of, session_id

RECORDER, OTHER, CLOSER = Signer("recorder"), Signer("other"), Signer("closer", "closer")
SESSION = session_id(1)
GENESIS, EMPTY = genesis("validator")
REGISTERED = applied(EMPTY, RECORDER.registration(), OTHER.registration(), CLOSER.registration())
OPEN = applied(REGISTERED, RECORDER.anchor(SESSION, 0))
AT_FIVE = applied(OPEN, RECORDER.anchor(SESSION, 5))


def refusal(state: ChainState, entry: LogEntry) -> str:
    with pytest.raises(Refused) as caught:
        apply_entry(state, entry)
    return str(caught.value)


def outcome(state: ChainState, entry: LogEntry) -> ChainState | str:
    try:
        return apply_entry(state, entry)
    except Refused as reason:
        return str(reason)


class TestRegistration:
    def test_makes_the_key_known_in_its_role(self) -> None:
        state = applied(EMPTY, CLOSER.registration())
        assert state.keys == {CLOSER.key_id: rules.Key(CLOSER.public_key, "closer")}

    def test_must_be_signed_by_the_key_itself(self) -> None:
        assert "signature" in refusal(EMPTY, forged(RECORDER.registration()))

    def test_of_a_known_key_is_refused(self) -> None:
        assert "registered already" in refusal(REGISTERED, RECORDER.registration(time_ms=START_MS + 1))


class TestAnchor:
    def test_with_count_0_opens_the_session(self) -> None:
        assert OPEN.sessions[SESSION] == rules.Session(
            RECORDER.key_id, 0, merkle.EMPTY_ROOT.hex(), closed=False
        )

    def test_by_an_unknown_key_is_refused(self) -> None:
        assert "is not registered" in refusal(EMPTY, RECORDER.anchor(SESSION, 0))

    def test_by_a_closer_is_refused(self) -> None:
        assert "role recorder" in refusal(REGISTERED, CLOSER.anchor(SESSION, 0))

    def test_in_another_recorders_name_is_refused(self) -> None:
        assert "signed by its recorder" in refusal(OPEN, OTHER.anchor(SESSION, 1, recorder=RECORDER))

    def test_with_a_forged_signature_is_refused(self) -> None:
        assert "signature" in refusal(OPEN, forged(RECORDER.anchor(SESSION, 1)))

    def test_that_does_not_begin_at_0_is_refused(self) -> None:
        assert "first anchor has count 0" in refusal(REGISTERED, RECORDER.anchor(SESSION, 1))

    def test_that_opens_with_another_root_than_the_empty_one_is_refused(self) -> None:
        assert "another root" in refusal(REGISTERED, RECORDER.anchor(SESSION, 0, root=root_of(1)))

    def test_by_another_recorder_than_the_opener_is_refused(self) -> None:
        assert "was opened by" in refusal(OPEN, OTHER.anchor(SESSION, 1))

    def test_with_a_falling_count_is_refused(self) -> None:
        assert "5 leaves are anchored already" in refusal(AT_FIVE, RECORDER.anchor(SESSION, 4))

    def test_with_the_same_count_is_a_sign_of_life(self) -> None:
        again = applied(AT_FIVE, RECORDER.anchor(SESSION, 5, time_ms=START_MS + 60_000))
        assert again.sessions == AT_FIVE.sessions
        assert again.log.size == AT_FIVE.log.size + 1

    def test_with_the_same_count_and_another_root_is_refused(self) -> None:
        assert "another root" in refusal(AT_FIVE, RECORDER.anchor(SESSION, 5, root=root_of(6)))

    def test_after_the_manifest_is_refused(self) -> None:
        closed = applied(AT_FIVE, RECORDER.manifest(SESSION, 5))
        assert "is closed" in refusal(closed, RECORDER.anchor(SESSION, 6))


class TestManifest:
    def test_closes_the_session(self) -> None:
        assert applied(AT_FIVE, RECORDER.manifest(SESSION, 7)).sessions[SESSION].closed

    def test_of_a_session_that_was_never_opened_is_refused(self) -> None:
        assert "is not open" in refusal(REGISTERED, RECORDER.manifest(SESSION, 0))

    def test_is_the_only_one(self) -> None:
        closed = applied(AT_FIVE, RECORDER.manifest(SESSION, 5))
        assert "is closed" in refusal(closed, RECORDER.manifest(SESSION, 6))

    def test_that_counts_less_than_was_anchored_is_refused(self) -> None:
        assert "5 leaves are anchored already" in refusal(AT_FIVE, RECORDER.manifest(SESSION, 4))

    def test_with_another_root_for_what_was_anchored_is_refused(self) -> None:
        assert "another root" in refusal(AT_FIVE, RECORDER.manifest(SESSION, 5, root=root_of(6)))

    def test_of_a_lost_recorder_is_the_closers(self) -> None:
        lost = CLOSER.manifest(SESSION, 7, end_reason="recorder_lost", attested=5, recorder=RECORDER)
        assert applied(AT_FIVE, lost).sessions[SESSION].closed

    def test_by_a_closer_needs_a_lost_recorder(self) -> None:
        entry = CLOSER.manifest(SESSION, 5, recorder=RECORDER)
        assert "unless its end_reason is recorder_lost" in refusal(AT_FIVE, entry)

    def test_of_a_lost_recorder_cannot_be_by_a_recorder(self) -> None:
        entry = RECORDER.manifest(SESSION, 5, end_reason="recorder_lost")
        assert "role closer" in refusal(AT_FIVE, entry)

    def test_of_a_lost_recorder_attests_what_the_recorder_anchored_last(self) -> None:
        entry = CLOSER.manifest(SESSION, 7, end_reason="recorder_lost", attested=6, recorder=RECORDER)
        assert "last anchor has 5" in refusal(AT_FIVE, entry)

    def test_naming_another_recorder_is_refused(self) -> None:
        entry = CLOSER.manifest(SESSION, 7, end_reason="recorder_lost", attested=5, recorder=OTHER)
        assert "was opened by" in refusal(AT_FIVE, entry)


CLOSED = applied(AT_FIVE, RECORDER.manifest(SESSION, 5))


class TestLifeAfterwards:
    def test_access_and_hold_are_logged_while_a_session_runs_and_after_it(self) -> None:
        for state in (OPEN, CLOSED):
            after = applied(state, CLOSER.access(SESSION), CLOSER.hold(SESSION))
            assert after.log.size == state.log.size + 2
            assert after.sessions[SESSION].held

    def test_of_a_session_that_the_log_does_not_know_is_refused(self) -> None:
        for make in (CLOSER.access, CLOSER.hold, CLOSER.erasure, CLOSER.violation):
            entry = make(SESSION)
            assert "is not on the log" in refusal(REGISTERED, entry)

    def test_is_signed_by_a_closer(self) -> None:
        for make in (RECORDER.access, RECORDER.hold, RECORDER.erasure, RECORDER.violation):
            entry = make(SESSION)
            assert "role closer" in refusal(CLOSED, entry)
        assert "is not registered" in refusal(CLOSED, Signer("stranger", "closer").erasure(SESSION))
        assert "signature" in refusal(CLOSED, forged(CLOSER.erasure(SESSION)))

    def test_a_tombstone_is_put_on_a_closed_session_once(self) -> None:
        assert "is not closed" in refusal(AT_FIVE, CLOSER.erasure(SESSION))
        erased = applied(CLOSED, CLOSER.erasure(SESSION))
        assert erased.sessions[SESSION].erased
        assert "erased already" in refusal(erased, CLOSER.erasure(SESSION, time_ms=START_MS + 1))

    def test_a_violation_is_noted_while_the_session_runs_and_after_it_and_changes_nothing(self) -> None:
        for state in (AT_FIVE, CLOSED, applied(CLOSED, CLOSER.erasure(SESSION))):
            after = applied(state, CLOSER.violation(SESSION))
            assert after.log.size == state.log.size + 1
            assert after.sessions == state.sessions

    def test_a_hold_keeps_the_tombstone_away_until_it_ends(self) -> None:
        held = applied(CLOSED, CLOSER.hold(SESSION))
        assert "legal hold" in refusal(held, CLOSER.erasure(SESSION))
        released = applied(held, CLOSER.hold(SESSION, held=False))
        assert applied(released, CLOSER.erasure(SESSION)).sessions[SESSION].erased

    def test_of_one_session_does_not_touch_another(self) -> None:
        other = session_id(2)
        both = applied(CLOSED, *recording(RECORDER, other), CLOSER.hold(other))
        assert applied(both, CLOSER.erasure(SESSION)).sessions[other] == both.sessions[other]


class TestEntries:
    def test_an_entry_joins_the_log_once(self) -> None:
        assert "in the log already" in refusal(AT_FIVE, RECORDER.anchor(SESSION, 5))

    def test_what_is_refused_leaves_the_state_as_it_was(self) -> None:
        before = replace(OPEN)
        refusal(OPEN, OTHER.anchor(SESSION, 1))
        assert before == OPEN

    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 4)), max_size=12))
    def test_a_slice_decides_as_the_whole_state_does(self, steps: list[tuple[int, int]]) -> None:
        whole = REGISTERED
        for number, count in steps:
            entry = RECORDER.anchor(session_id(number), count)
            needed = touched([entry])
            part = ChainState(
                whole.log,
                {name: key for name, key in whole.keys.items() if name in needed.keys},
                {name: session for name, session in whole.sessions.items() if name in needed.sessions},
                whole.entries & needed.entries,
            )
            after, sliced = outcome(whole, entry), outcome(part, entry)
            if isinstance(after, ChainState) and isinstance(sliced, ChainState):
                assert sliced.log == after.log
                assert sliced.sessions[session_id(number)] == after.sessions[session_id(number)]
                whole = after
            else:
                assert sliced == after


ENTRIES = [RECORDER.registration(), *recording(RECORDER, SESSION)]


def proposal(entries: list[LogEntry]) -> tuple[Header, tuple[tuple[LogEntry, ...], ...]]:
    waiting = [Waiting(f"{number // 2:064}", entry) for number, entry in enumerate(entries)]
    made = propose(GENESIS, EMPTY, waiting, proposer="0" * 64, time_ms=START_MS + 1000)
    assert not made.refused
    return made.header, made.transactions


class TestBlock:
    def test_that_was_proposed_is_valid_and_moves_the_log(self) -> None:
        header, transactions = proposal(ENTRIES)
        after = apply_block(GENESIS, EMPTY, header, transactions)
        assert after == applied(EMPTY, *ENTRIES)
        assert (header.log_size, header.log_root) == (after.log.size, after.log.root().hex())

    def test_may_be_empty(self) -> None:
        header, transactions = proposal([])
        assert apply_block(GENESIS, EMPTY, header, transactions) == EMPTY

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("chain", "another.example/log"),
            ("height", 2),
            ("previous", "1" * 64),
            ("time_ms", START_MS),
            ("transactions_root", "1" * 64),
            ("transaction_count", 7),
            ("log_size", 9),
            ("log_root", "1" * 64),
        ],
    )
    def test_with_a_wrong_header_field_is_invalid_and_the_field_named(
        self, field: str, value: object
    ) -> None:
        header, transactions = proposal(ENTRIES)
        wrong = msgspec.structs.replace(header, **{field: value})
        with pytest.raises(InvalidBlock, match=f"^{field} is "):
            apply_block(GENESIS, EMPTY, wrong, transactions)

    def test_header_that_follows_its_parent_is_valid(self) -> None:
        header, _ = proposal(ENTRIES)
        validate_header(GENESIS, header)

    @pytest.mark.parametrize("change", ["dropped", "swapped", "doubled"])
    def test_with_other_entries_than_its_header_says_is_invalid(self, change: str) -> None:
        header, transactions = proposal(ENTRIES)
        first, *rest = transactions
        changed = {
            "dropped": tuple(rest),
            "swapped": ((first[1], first[0]), *rest),
            "doubled": (*transactions, first),
        }
        with pytest.raises(InvalidBlock):
            apply_block(GENESIS, EMPTY, header, changed[change])

    def test_with_an_entry_that_the_rules_refuse_is_invalid_and_the_entry_named(self) -> None:
        header, _ = proposal([])
        bad = RECORDER.anchor(SESSION, 0)
        with pytest.raises(InvalidBlock, match=f"entry 0 of the block, {bad.hash}.*not registered"):
            apply_block(GENESIS, EMPTY, header, [[bad]])

    def test_over_its_limits_is_invalid(self, monkeypatch: pytest.MonkeyPatch) -> None:
        header, transactions = proposal(ENTRIES)
        for limit, value in (("MAX_TRANSACTIONS", 1), ("MAX_BLOCK_BYTES", 1000)):
            with monkeypatch.context() as patch:
                patch.setattr(rules, limit, value)
                with pytest.raises(InvalidBlock, match="at most"):
                    apply_block(GENESIS, EMPTY, header, transactions)
        with pytest.raises(InvalidBlock, match="0 entries"):
            apply_block(GENESIS, EMPTY, header, [[]])
