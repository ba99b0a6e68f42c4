"""Verification as a whole: what holds passes, and rests on what the auditor was told."""

import io
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from lucid.evidence import block, checkpoint
from lucid.evidence.steps import STEPS, Outcome
from lucid.evidence.trust import Trust
from lucid.evidence.verify import verify
from tests.evidence.verifying import CLEAN, LOST, check, failed_step
from tests.evidence.world import COSIGNED_S, World


class TestWhatHolds:
    def test_everything_holds_and_is_reported(self) -> None:
        report = check(CLEAN, against=CLEAN.note, newer_than_ms=COSIGNED_S * 1000)
        assert report.outcome is Outcome.VERIFIED
        assert [(step.number, step.name) for step in report.steps] == [
            (number, step.name) for number, step in enumerate(STEPS, 1)
        ]
        assert {step.status for step in report.steps} == {"ok"}
        assert report.failure is None
        assert report.manifest == CLEAN.manifest
        assert report.header == CLEAN.header
        assert report.plain_size == sum(map(len, CLEAN.raws))
        assert report.sealed_size == sum(map(len, CLEAN.sealed))

    def test_the_report_is_json(self) -> None:
        fields = msgspec.json.decode(msgspec.json.encode(check(CLEAN)))
        assert fields["outcome"] == "verified"
        assert len(fields["steps"]) == len(STEPS)

    def test_chunks_are_optional_and_their_absence_is_said(self) -> None:
        report = check(CLEAN, CLEAN.bundle(chunks=[]))
        assert report.outcome is Outcome.VERIFIED
        assert report.steps[8].status == "skipped"

    def test_without_a_trust_file_nothing_is_authenticated(self) -> None:
        report = verify(io.BytesIO(CLEAN.bundle()))
        assert report.outcome is Outcome.CONSISTENT_NOT_AUTHENTICATED
        assert {step.name for step in report.steps if step.status == "skipped"} == {
            "genesis",
            "validators",
            "witnesses",
            "against",
            "freshness",
        }

    @pytest.mark.parametrize(
        ("outcome", "code"),
        [(Outcome.VERIFIED, 0), (Outcome.REFUSED, 1), (Outcome.CONSISTENT_NOT_AUTHENTICATED, 3)],
    )
    def test_outcomes_have_exit_codes(self, outcome: Outcome, code: int) -> None:
        assert outcome.exit_code == code

    @pytest.mark.parametrize(
        "options",
        [
            {"validators": 1, "witnesses": 0},
            {"validators": 7, "cosigning_validators": 5},
            {"chunks": 0, "sound_chunks": 0, "anchored": (0,)},
            {"chunks": 1, "sound_chunks": 0, "anchored": (0, 0, 1)},
            {"chunks": 40, "sound_chunks": 9, "anchored": (0, 13, 13, 49)},
            LOST,
            LOST | {"anchored": (0, 8)},
            {"seed": "another"},
        ],
    )
    def test_other_sessions_hold_as_well(self, options: dict[str, Any]) -> None:
        world = World(**options)
        assert check(world).outcome is Outcome.VERIFIED

    def test_progress_reaches_the_size_of_the_file(self) -> None:
        seen: list[int] = []
        check(CLEAN, on_progress=seen.append)
        assert seen[-1] == len(CLEAN.bundle())


class TestTheLog:
    def test_an_entry_that_is_not_on_the_log(self) -> None:
        other = World(seed="world", registered={"recorder": "recorder"}, anchored=(0, 2))
        report = check(CLEAN, CLEAN.bundle(entries=other.parts.entries))
        assert failed_step(report) == "inclusion"

    def test_a_header_that_the_checkpoint_does_not_render(self) -> None:
        for change in ({"height": 8}, {"time_ms": 1}, {"log_size": 12}, {"log_root": "0" * 64}):
            header = block.encode(msgspec.structs.replace(CLEAN.header, **change))
            assert failed_step(check(CLEAN, CLEAN.bundle(header=header))) == "checkpoint"

    def test_another_block_0(self) -> None:
        other = World(seed="elsewhere")
        report = verify(io.BytesIO(other.bundle()), CLEAN.trust)
        assert failed_step(report) == "genesis"
        assert "you trust" in report.steps[-1].detail

    def test_a_log_that_does_not_extend_its_block_0(self) -> None:
        assert failed_step(check(CLEAN, CLEAN.bundle(consistency=()))) == "genesis"
        assert failed_step(verify(io.BytesIO(CLEAN.bundle(consistency=())))) == "genesis"

    @pytest.mark.parametrize("change", [{"height": 1, "previous": "1" * 64}, {"chain": "other.example/log"}])
    def test_a_genesis_that_is_not_block_0_of_this_chain(self, change: dict[str, Any]) -> None:
        genesis = block.encode(msgspec.structs.replace(CLEAN.genesis, **change))
        assert failed_step(verify(io.BytesIO(CLEAN.bundle(genesis=genesis)))) == "genesis"

    def test_another_name(self) -> None:
        trust = replace(CLEAN.trust, origin="other.example/log")
        assert failed_step(verify(io.BytesIO(CLEAN.bundle()), trust)) == "genesis"


class TestWhoCosigned:
    @pytest.mark.parametrize(("validators", "cosigning"), [(1, 0), (2, 1), (4, 2), (7, 4)])
    def test_less_than_a_quorum_is_refused(self, validators: int, cosigning: int) -> None:
        world = World(validators=validators, cosigning_validators=cosigning)
        report = check(world)
        assert failed_step(report) == "validators"
        assert f"{cosigning} of {validators} validators" in report.steps[-1].detail

    def test_other_validators_count_for_nothing(self) -> None:
        other = World(seed="elsewhere").trust
        trust = replace(CLEAN.trust, validators=other.validators)
        assert failed_step(verify(io.BytesIO(CLEAN.bundle()), trust)) == "validators"

    def test_a_cosignature_that_does_not_verify_spoils_the_checkpoint(self) -> None:
        text = checkpoint.body(CLEAN.header)
        other_text = text.replace("\n11\n", "\n12\n")
        lines = [
            checkpoint.cosign(text if number else other_text, name, CLEAN.key(name), COSIGNED_S)
            for number, name in enumerate(CLEAN.validator_names)
        ]
        data = CLEAN.bundle(checkpoint=checkpoint.write_note(text, lines))
        assert failed_step(check(CLEAN, data)) == "validators"

    def test_missing_witnesses_are_refused_if_they_were_asked_for(self) -> None:
        world = World(witnesses=0)
        trust = replace(world.trust, witnesses=CLEAN.trust.witnesses)
        assert verify(io.BytesIO(world.bundle()), trust).outcome is Outcome.VERIFIED
        asked = replace(trust, witness_quorum=1)
        assert failed_step(verify(io.BytesIO(world.bundle()), asked)) == "witnesses"

    def test_unknown_cosigners_are_named_and_not_counted(self) -> None:
        trust = replace(CLEAN.trust, witnesses=(), witness_quorum=0)
        report = verify(io.BytesIO(CLEAN.bundle()), trust)
        assert report.outcome is Outcome.VERIFIED
        assert "unknown keys, not counted: witness0.example.org" in report.steps[11].detail


class TestAgainstAnotherCheckpoint:
    def detail(self, against: bytes, trust: Trust | None = CLEAN.trust) -> str:
        report = verify(io.BytesIO(CLEAN.bundle()), trust, against=against)
        assert failed_step(report) == "against"
        return report.steps[-1].detail

    def test_the_same_state_in_a_later_block_is_the_same_log(self) -> None:
        later = msgspec.structs.replace(CLEAN.header, height=9)
        assert check(CLEAN, against=CLEAN.cosigned(later)).outcome is Outcome.VERIFIED

    def test_a_split_view_is_found(self) -> None:
        forked = msgspec.structs.replace(CLEAN.header, log_root="1" * 64)
        assert "split view" in self.detail(CLEAN.cosigned(forked))
        assert "split view" in self.detail(CLEAN.cosigned(forked), None)

    def test_another_size_cannot_be_compared_and_that_is_said(self) -> None:
        smaller = CLEAN._header(9)
        assert "cannot be compared" in self.detail(CLEAN.cosigned(smaller))

    def test_another_log_is_no_comparison(self) -> None:
        other = msgspec.structs.replace(CLEAN.header, chain="other.example/log")
        assert "other.example/log" in self.detail(CLEAN.cosigned(other))

    def test_a_checkpoint_that_nobody_trusted_cosigned_says_nothing(self) -> None:
        assert "not cosigned" in self.detail(World(seed="elsewhere").note)

    def test_what_is_no_checkpoint_is_refused(self) -> None:
        assert "note" in self.detail(b"hello")


class TestFreshness:
    def test_a_quorum_must_have_cosigned_since(self) -> None:
        moment = COSIGNED_S * 1000
        assert check(CLEAN, newer_than_ms=moment).outcome is Outcome.VERIFIED
        assert failed_step(check(CLEAN, newer_than_ms=moment + 1)) == "freshness"

    def test_one_late_cosignature_does_not_make_a_stale_checkpoint_fresh(self) -> None:
        text = checkpoint.body(CLEAN.header)
        lines = [
            checkpoint.cosign(text, name, CLEAN.key(name), COSIGNED_S + (1000 if number < 2 else 0))
            for number, name in enumerate(CLEAN.validator_names + CLEAN.witness_names)
        ]
        data = CLEAN.bundle(checkpoint=checkpoint.write_note(text, lines))
        assert failed_step(check(CLEAN, data, newer_than_ms=(COSIGNED_S + 1000) * 1000)) == "freshness"

    def test_without_a_trust_file_there_is_no_time_to_believe(self) -> None:
        report = verify(io.BytesIO(CLEAN.bundle()), newer_than_ms=1)
        assert failed_step(report) == "freshness"
