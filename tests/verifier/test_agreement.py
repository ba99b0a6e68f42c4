"""Two verifiers that share no code say the same of everything: the outcome, and the step that fails."""

from typing import Any, get_args

import msgspec
import pytest

from lucid.evidence.leaf import Leaf
from lucid.evidence.manifest import EndReason, Gap, GapCause
from tests.evidence.verifying import CLEAN, LOST
from tests.evidence.world import CHUNK_MS, COSIGNED_S, START_MS, World
from tests.forgeries.catalogue import NAMED, OF_RECORDS
from tests.forgeries.forging import Forgery
from tests.verifier.both import Verdict, both, trust_of

TRUST = trust_of(CLEAN)
OUTCOMES = {"verified": 0, "refused": 1, "consistent_not_authenticated": 3}


def both_on(forgery: Forgery) -> Verdict:
    made = forgery.make()
    return both(made.bundle, made.trust_file, against=made.against, newer_than_ms=made.newer_than_ms)


class TestWhatHolds:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"trusting": False},
            {"validators": 1, "witnesses": 0},
            {"validators": 7, "cosigning_validators": 5},
            {"chunks": 0, "sound_chunks": 0, "anchored": (0,)},
            {"chunks": 1, "sound_chunks": 0, "anchored": (0, 0, 1)},
            {"chunks": 40, "sound_chunks": 9, "anchored": (0, 13, 13, 49)},
            LOST,
            LOST | {"anchored": (0, 8)},
            *({"end_reason": reason} for reason in get_args(EndReason) if reason != "recorder_lost"),
        ],
    )
    def test_every_kind_of_good_bundle(self, options: dict[str, Any]) -> None:
        world = World(**options)
        for data in (world.bundle(), world.bundle(chunks=[])):
            assert both(data, trust_of(world)) == Verdict(0)
            assert both(data, None) == Verdict(3)

    def test_logs_of_many_sizes(self) -> None:
        for late in range(18):
            world = World(chunks=0, sound_chunks=0, anchored=(0,) * (1 + late), validators=1, witnesses=0)
            assert both(world.bundle(), trust_of(world)) == Verdict(0)

    def test_what_the_auditor_asks_beyond_the_bundle(self) -> None:
        asked_ms = COSIGNED_S * 1000
        assert both(CLEAN.bundle(), TRUST, against=CLEAN.note, newer_than_ms=asked_ms) == Verdict(0)
        assert both(CLEAN.bundle(), TRUST, newer_than_ms=asked_ms + 1) == Verdict(1, (15, "freshness"))
        assert both(CLEAN.bundle(), None, newer_than_ms=0) == Verdict(1, (15, "freshness"))
        assert both(CLEAN.bundle(), None, against=CLEAN.note) == Verdict(3)
        assert both(CLEAN.bundle(), None, against=b"") == Verdict(1, (14, "against"))


class TestForgeries:
    @pytest.mark.parametrize("forgery", NAMED, ids=lambda forgery: forgery.name)
    def test_each_in_the_catalogue(self, forgery: Forgery) -> None:
        verdict = both_on(forgery)
        assert verdict.exit_code == OUTCOMES[forgery.outcome.value]
        assert (verdict.step and verdict.step[1]) == forgery.step

    @pytest.mark.parametrize("place", OF_RECORDS)
    def test_each_field_of_each_record(self, place: str) -> None:
        for forgery in OF_RECORDS[place]:
            verdict = both_on(forgery)
            assert (verdict.step and verdict.step[1]) == forgery.step, forgery.name

    def test_every_length_of_a_file_that_was_cut_off(self) -> None:
        data = CLEAN.bundle()
        for size in range(0, len(data), 509):
            assert both(data[:size], TRUST) == Verdict(1, (1, "archive"))


class TestHoles:
    HOLE = START_MS + 2 * CHUNK_MS

    def verdict(self, size_ms: int, *gaps: tuple[int, int, int], cause: Any = "paused") -> Verdict:
        def move(leaves: list[Leaf]) -> list[Leaf]:
            return [
                msgspec.structs.replace(item, start_ms=item.start_ms + size_ms, end_ms=item.end_ms + size_ms)
                if item.track == 0 and item.index >= 2
                else item
                for item in leaves
            ]

        declared = tuple(
            Gap(track=track, start_ms=self.HOLE + start, end_ms=self.HOLE + end, cause=cause)
            for track, start, end in gaps
        )
        world = World(leaf_changes=move, manifest_changes={"gaps": declared})
        return both(world.bundle(chunks=[]), trust_of(world))

    @pytest.mark.parametrize("cause", get_args(GapCause))
    def test_a_gap_of_any_cause_explains_one(self, cause: str) -> None:
        assert self.verdict(60_000, (0, 0, 60_000), cause=cause) == Verdict(0)

    def test_the_limit_is_2000_ms_for_each_stretch_without_a_gap(self) -> None:
        refused = Verdict(1, (5, "completeness"))
        for size, gaps, expected in (
            (2000, [], Verdict(0)),
            (2001, [], refused),
            (60_000, [(0, 2000, 58_000)], Verdict(0)),
            (60_000, [(0, 2001, 58_000)], refused),
            (60_000, [(0, 2000, 57_999)], refused),
            (60_000, [(1, 0, 60_000)], refused),
            (60_000, [(0, 0, 30_000), (0, 10_000, 20_000), (0, 32_000, 60_000)], Verdict(0)),
            (60_000, [(0, 0, 30_000), (0, 32_001, 60_000)], refused),
            (4000, [(0, 2000, 2000)], Verdict(0)),
            (60_000, [(0, 0, 900_000)], Verdict(0)),
        ):
            assert self.verdict(size, *gaps) == expected, (size, gaps)

    def test_a_chunk_within_an_earlier_one_leaves_no_hole_after_it(self) -> None:
        def nest(leaves: list[Leaf]) -> list[Leaf]:
            first, *others = (item for item in leaves if item.track == 0)
            long = msgspec.structs.replace(first, end_ms=START_MS + 30_000)
            short = msgspec.structs.replace(others[0], end_ms=others[0].start_ms + 1)
            later = [
                msgspec.structs.replace(item, start_ms=START_MS + 30_000, end_ms=START_MS + 40_000)
                for item in others[1:]
            ]
            return [long, short, *later]

        world = World(leaf_changes=nest, sound_chunks=0)
        assert both(world.bundle(chunks=[]), trust_of(world)) == Verdict(0)


class TestTrustFiles:
    def test_unusable_ones(self) -> None:
        for old, new in (
            (b'"quorum": 3', b'"quorum": 2'),
            (b'"quorum": 3', b'"quorum": 5'),
            (b'"quorum": 3', b'"quorum": 3.0'),
            (b'"quorum": 3', b'"quorum": true'),
            (b'"quorum": 3', b'"quorum": 3, "quorum": 3'),
            (b'"quorum": 3', b'"quorum": 3, "extra": 3'),
            (b'"quorum": 3', b'"quorum": ' + b"9" * 5000),
            (b'"quorum": 3', b'"quorum": ' + b"[" * 100_000),
            (b'"witness_quorum": 1', b'"witness_quorum": 2'),
            (b"lucid-trust/v1", b"lucid-trust/v2"),
            (b"validator1.lucid", b"validator2.lucid"),
            (b"validator1.lucid", b"\xff"),
            (b"validator1.lucid", b"\\ud800"),
            (b"{", b"[{"),
            (b"{", b"\xef\xbb\xbf{"),
            (b"{", b" " * 256 * 1024 + b"{"),
        ):
            assert old in TRUST
            assert both(CLEAN.bundle(), TRUST.replace(old, new, 1)) == Verdict(2), new[:40]

    def test_witnesses_may_be_left_out(self) -> None:
        fields = msgspec.json.decode(TRUST)
        del fields["witnesses"], fields["witness_quorum"]
        assert both(CLEAN.bundle(), msgspec.json.encode(fields)) == Verdict(0)

    def test_the_format_may_not(self) -> None:
        fields = msgspec.json.decode(TRUST)
        del fields["format"]
        assert both(CLEAN.bundle(), msgspec.json.encode(fields)) == Verdict(2)
