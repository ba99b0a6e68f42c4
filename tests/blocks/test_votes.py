"""Counting votes and cosignatures."""

from pathlib import Path

import msgspec
import pytest

from lucid.blocks import votes
from lucid.blocks.validator import Validator
from lucid.blocks.votes import Verdict
from lucid.evidence import checkpoint, merkle
from tests.blocks.world import genesis, genesis_entry, seed

NAMES = [f"validator{number}" for number in range(4)]
GENESIS, _ = genesis(*NAMES)
BLOCK = msgspec.structs.replace(GENESIS, height=1, previous="1" * 64)
OTHER_BLOCK = msgspec.structs.replace(BLOCK, time_ms=BLOCK.time_ms + 1)
LOG = merkle.Tree([merkle.leaf_hash(genesis_entry(*NAMES))])


@pytest.fixture
def validators(tmp_path: Path) -> list[Validator]:
    return [Validator(name, seed(name), tmp_path / name) for name in NAMES]


class TestVotes:
    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ("", None),
            ("aa", None),
            ("aaa", "accept"),
            ("aaaa", "accept"),
            ("aaar", "accept"),
            ("aarr", None),
            ("arrr", "reject"),
        ],
    )
    def test_three_of_four_decide(
        self, validators: list[Validator], given: str, expected: Verdict | None
    ) -> None:
        verdicts: dict[str, Verdict] = {"a": "accept", "r": "reject"}
        cast = [
            validator.vote(BLOCK, verdicts[letter])
            for validator, letter in zip(validators, given, strict=False)
        ]
        assert votes.verdict(BLOCK, cast, [each.cosigner for each in validators]) == expected

    def test_one_of_one_decides(self, validators: list[Validator]) -> None:
        alone = validators[0]
        assert votes.verdict(BLOCK, [alone.vote(BLOCK, "accept")], [alone.cosigner]) == "accept"

    def test_a_validator_counts_once(self, validators: list[Validator]) -> None:
        cast = [validators[0].vote(BLOCK, "accept")] * 4
        assert votes.verdict(BLOCK, cast, [each.cosigner for each in validators]) is None

    def test_whoever_votes_both_ways_counts_for_none(self, validators: list[Validator]) -> None:
        cast = [each.vote(BLOCK, "accept") for each in validators[:3]]
        cast.append(validators[0].vote(BLOCK, "reject"))
        assert votes.verdict(BLOCK, cast, [each.cosigner for each in validators]) is None

    def test_votes_on_another_block_or_by_strangers_count_for_nothing(
        self, validators: list[Validator], tmp_path: Path
    ) -> None:
        stranger = Validator("stranger", seed("stranger"), tmp_path / "stranger")
        good = [each.vote(BLOCK, "accept") for each in validators[:2]]
        for useless in (validators[2].vote(OTHER_BLOCK, "accept"), stranger.vote(BLOCK, "accept"), "{}"):
            assert votes.verdict(BLOCK, [*good, useless], [each.cosigner for each in validators]) is None


class TestCheckpoints:
    def test_are_published_with_a_quorum_of_cosignatures(self, validators: list[Validator]) -> None:
        known = [each.cosigner for each in validators]
        lines = [each.cosign(GENESIS, LOG, 1_700_000_000) for each in validators]
        assert votes.published_note(GENESIS, lines[:2], known) is None
        note = votes.published_note(GENESIS, lines[:3], known)
        assert note is not None
        signed = checkpoint.verify_cosignatures(checkpoint.parse_note(note), known)
        assert set(signed.times) == set(NAMES[:3])
        assert not signed.unknown

    def test_doubled_broken_and_foreign_lines_do_not_count(
        self, validators: list[Validator], tmp_path: Path
    ) -> None:
        stranger = Validator("stranger", seed("stranger"), tmp_path / "stranger")
        good = [each.cosign(GENESIS, LOG, 1_700_000_000) for each in validators[:2]]
        wrong_text = checkpoint.cosign("another\n", NAMES[2], validators[2]._key, 1_700_000_000)
        foreign = stranger.cosign(GENESIS, LOG, 1_700_000_000)
        known = [each.cosigner for each in validators]
        assert votes.published_note(GENESIS, [*good, *good, wrong_text, foreign, "what?\n"], known) is None
