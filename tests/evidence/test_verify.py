"""Verification as a whole: what holds passes, and rests on what the auditor was told."""

import io
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from lucid.evidence.steps import STEPS, Outcome
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
        assert report.policy is not None
        assert report.policy.trust_policy == CLEAN.trust_policy
        assert report.plain_size == sum(map(len, CLEAN.raws))
        assert report.sealed_size == sum(map(len, CLEAN.sealed))

    def test_the_report_is_json(self) -> None:
        fields = msgspec.json.decode(msgspec.json.encode(check(CLEAN)))
        assert fields["outcome"] == "verified"
        assert len(fields["steps"]) == len(STEPS)
        assert fields["policy"]["allowed"] == ["input.mouse", "input.keyboard", "clipboard.to_desktop"]

    def test_a_session_without_a_trust_policy_is_said_to_have_none(self) -> None:
        report = check(World(trusting=False))
        assert report.outcome is Outcome.VERIFIED
        assert report.policy is not None
        assert (report.policy.trust_policy, report.policy.retention_days) == (None, 30)
        assert report.steps[9].detail == "no trust policy"

    def test_a_policy_that_is_not_the_manifests_is_not_reported(self) -> None:
        report = check(CLEAN, CLEAN.bundle(policy=World(trusting=False).policy))
        assert (report.policy, report.manifest) == (None, CLEAN.manifest)

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


class TestWhoCosigned:
    def test_missing_witnesses_are_no_matter_unless_they_were_asked_for(self) -> None:
        world = World(witnesses=0)
        trust = replace(world.trust, witnesses=CLEAN.trust.witnesses)
        report = verify(io.BytesIO(world.bundle()), trust)
        assert report.outcome is Outcome.VERIFIED
        assert report.steps[12].status == "skipped"

    def test_unknown_cosigners_are_named_and_not_counted(self) -> None:
        trust = replace(CLEAN.trust, witnesses=(), witness_quorum=0)
        report = verify(io.BytesIO(CLEAN.bundle()), trust)
        assert report.outcome is Outcome.VERIFIED
        assert "unknown keys, not counted: witness0.example.org" in report.steps[12].detail


class TestAgainstAnotherCheckpoint:
    def test_the_same_state_in_a_later_block_is_the_same_log(self) -> None:
        later = msgspec.structs.replace(CLEAN.header, height=9)
        assert check(CLEAN, against=CLEAN.cosigned(later)).outcome is Outcome.VERIFIED


class TestFreshness:
    def test_a_quorum_must_have_cosigned_since(self) -> None:
        moment = COSIGNED_S * 1000
        assert check(CLEAN, newer_than_ms=moment).outcome is Outcome.VERIFIED
        assert failed_step(check(CLEAN, newer_than_ms=moment + 1)) == "freshness"
