"""Each kind of damage or deceit within a session fails at the step that names it."""

import io
import tarfile
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lucid.evidence import leaf, merkle
from lucid.evidence.checks import HOLE_LIMIT_MS
from lucid.evidence.leaf import Leaf
from lucid.evidence.manifest import Gap, InterimAnchor
from lucid.evidence.steps import Outcome, Report
from tests.evidence.verifying import CLEAN, LOST, check, failed_step
from tests.evidence.world import CHUNK_MS, OTHER_SESSION, START_MS, World


def altered(leaves: list[Leaf], position: int, **changes: Any) -> list[Leaf]:
    return [
        msgspec.structs.replace(item, **changes) if number == position else item
        for number, item in enumerate(leaves)
    ]


@cache
def small() -> tuple[World, bytes, dict[str, tuple[int, int]]]:
    """A world in which every signature is needed, its bundle, and where each member's bytes lie."""
    world = World(chunks=2, sound_chunks=0, validators=1, anchored=(0, 1))
    data = world.bundle()
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        return world, data, {info.name: (info.offset_data, info.size) for info in tar}


class TestAFlippedByte:
    @pytest.mark.parametrize(
        ("member", "steps"),
        [
            ("lucid-bundle.json", {"archive", "leaves"}),
            ("genesis.json", {"genesis"}),
            ("header.json", {"checkpoint"}),
            ("checkpoint", {"checkpoint", "validators", "witnesses"}),
            ("consistency.json", {"archive", "genesis"}),
            ("entries.jsonl", {"archive", "signers", "manifest", "anchors", "inclusion"}),
            ("leaves.jsonl", {"archive", "leaves", "completeness"}),
            ("chunks/0/0", {"chunks"}),
            ("chunks/0/1", {"chunks"}),
        ],
    )
    def test_is_found_wherever_it_is_in(self, member: str, steps: set[str]) -> None:
        world, data, places = small()
        start, size = places[member]
        for position in range(start, start + size, max(1, size // 70)):
            for bit in (1, 32):
                flipped = bytearray(data)
                flipped[position] ^= bit
                assert failed_step(check(world, bytes(flipped))) in steps

    def test_is_found_between_the_members(self) -> None:
        world, data, places = small()
        inside = {n for start, size in places.values() for n in range(start, start + size)}
        outside = [n for n in range(len(data)) if n not in inside]
        for position in outside[::23]:
            flipped = bytearray(data)
            flipped[position] ^= 1
            assert failed_step(check(world, bytes(flipped))) == "archive"

    @settings(max_examples=150, deadline=None)
    @given(st.data())
    def test_no_edit_whatever_is_verified_or_crashes(self, data: st.DataObject) -> None:
        world, original, _ = small()
        start = data.draw(st.integers(0, len(original)))
        end = data.draw(st.integers(start, min(len(original), start + 600)))
        edited = original[:start] + data.draw(st.binary(max_size=600)) + original[end:]
        report = check(world, edited)
        assert (report.outcome is Outcome.VERIFIED) == (edited == original)

    @given(st.binary(max_size=3000))
    def test_any_bytes_at_all_are_reported_on(self, data: bytes) -> None:
        assert failed_step(check(CLEAN, data)) == "archive"


class TestAShortenedOrEditedSession:
    def test_a_truncated_file(self) -> None:
        data = CLEAN.bundle()
        for size in range(0, len(data), 997):
            assert failed_step(check(CLEAN, data[:size])) == "archive"

    def test_fewer_leaves_than_were_signed(self) -> None:
        data = CLEAN.bundle(leaves=CLEAN.parts.leaves[:-1], chunks=[])
        assert failed_step(check(CLEAN, data)) == "completeness"

    def test_a_shorter_session_signed_by_its_own_recorder_after_it_had_anchored_more(self) -> None:
        kept = CLEAN.leaves[:4]
        world = World(
            manifest_changes={
                "count": 4,
                "attested_count": 4,
                "root": merkle.root(map(leaf.leaf_hash, kept)).hex(),
                "tracks": tuple(msgspec.structs.replace(track, count=2) for track in CLEAN.manifest.tracks),
            }
        )
        data = world.bundle(leaves=world.parts.leaves[:4], chunks=[])
        assert failed_step(check(world, data)) == "anchors"

    def test_a_dropped_chunk(self) -> None:
        for dropped in range(len(CLEAN.chunk_list)):
            chunks = CLEAN.chunk_list[:dropped] + CLEAN.chunk_list[dropped + 1 :]
            assert failed_step(check(CLEAN, CLEAN.bundle(chunks=chunks))) == "chunks"

    def test_two_chunks_swapped(self) -> None:
        chunks = CLEAN.chunk_list
        chunks[2], chunks[3] = chunks[3], chunks[2]
        assert failed_step(check(CLEAN, CLEAN.bundle(chunks=chunks))) == "chunks"

    def test_the_bytes_of_two_chunks_swapped_under_their_names(self) -> None:
        (first, first_data), (second, second_data), *rest = CLEAN.chunk_list
        chunks = [
            (msgspec.structs.replace(first, sealed_size=len(second_data), codec="zstd"), second_data),
            (msgspec.structs.replace(second, sealed_size=len(first_data), codec="zstd"), first_data),
            *rest,
        ]
        assert failed_step(check(CLEAN, CLEAN.bundle(chunks=chunks))) == "chunks"

    def test_a_chunk_under_another_name(self) -> None:
        (first, data), *rest = CLEAN.chunk_list
        for change in ({"index": 9}, {"track": 9}):
            chunks = [(msgspec.structs.replace(first, **change), data), *rest]
            assert failed_step(check(CLEAN, CLEAN.bundle(chunks=chunks))) == "chunks"

    def test_a_renumbered_chunk(self) -> None:
        leaves = altered(CLEAN.leaves, 2, index=7)
        data = CLEAN.bundle(leaves=tuple(map(leaf.encode, leaves)))
        assert failed_step(check(CLEAN, data)) == "leaves"

    @pytest.mark.parametrize("change", [{"index": 7}, {"track": 3}, {"session": OTHER_SESSION}])
    def test_a_recorder_that_signs_wrong_numbers(self, change: dict[str, Any]) -> None:
        world = World(leaf_changes=lambda leaves: altered(leaves, 4, **change))
        assert failed_step(check(world)) == "leaves"

    def test_a_recorder_whose_chunks_go_back_in_time(self) -> None:
        world = World(leaf_changes=lambda leaves: altered(leaves, 4, start_ms=START_MS, end_ms=START_MS))
        assert failed_step(check(world)) == "leaves"

    def test_leaves_in_another_order(self) -> None:
        leaves = list(CLEAN.parts.leaves)
        leaves[0], leaves[1] = leaves[1], leaves[0]
        assert failed_step(check(CLEAN, CLEAN.bundle(leaves=tuple(leaves), chunks=[]))) == "completeness"

    @pytest.mark.parametrize(
        "changes",
        [
            {"root": "0" * 64},
            {"start_ms": START_MS + 1},
            {"end_ms": START_MS + 1},
            {"tracks": CLEAN.manifest.tracks[:1], "count": 6, "attested_count": 6},
        ],
    )
    def test_a_manifest_that_is_not_about_these_leaves(self, changes: dict[str, Any]) -> None:
        assert failed_step(check(World(manifest_changes=changes))) == "completeness"

    def test_tracks_with_other_counts(self) -> None:
        first, second = CLEAN.manifest.tracks
        tracks = (
            msgspec.structs.replace(first, count=first.count + 1),
            msgspec.structs.replace(second, count=second.count - 1),
        )
        assert failed_step(check(World(manifest_changes={"tracks": tracks}))) == "completeness"


def after_a_hole(size_ms: int) -> Callable[[list[Leaf]], list[Leaf]]:
    """Move all chunks of track 0 but the first two by `size_ms`."""

    def change(leaves: list[Leaf]) -> list[Leaf]:
        return [
            msgspec.structs.replace(item, start_ms=item.start_ms + size_ms, end_ms=item.end_ms + size_ms)
            if item.track == 0 and item.index >= 2
            else item
            for item in leaves
        ]

    return change


class TestGaps:
    HOLE = START_MS + 2 * CHUNK_MS

    def gap(self, start_ms: int, end_ms: int, track: int = 0) -> Gap:
        return Gap(track=track, start_ms=self.HOLE + start_ms, end_ms=self.HOLE + end_ms, cause="paused")

    def outcome(self, size_ms: int, *gaps: Gap) -> Report:
        world = World(leaf_changes=after_a_hole(size_ms), manifest_changes={"gaps": gaps})
        return check(world)

    def test_a_hole_without_a_declared_gap_is_refused(self) -> None:
        assert self.outcome(HOLE_LIMIT_MS).outcome is Outcome.VERIFIED
        assert failed_step(self.outcome(HOLE_LIMIT_MS + 1)) == "completeness"

    def test_a_declared_gap_explains_it_and_is_reported(self) -> None:
        report = self.outcome(60_000, self.gap(0, 60_000))
        assert report.outcome is Outcome.VERIFIED
        assert "paused 60.0 s" in report.steps[4].detail

    def test_several_gaps_explain_it_together(self) -> None:
        gaps = self.gap(0, 20_000), self.gap(15_000, 30_000), self.gap(30_500, 59_000)
        assert self.outcome(60_000, *gaps).outcome is Outcome.VERIFIED

    @pytest.mark.parametrize(
        ("start_ms", "end_ms", "track"), [(0, 50_000, 0), (10_000, 60_000, 0), (0, 60_000, 1)]
    )
    def test_a_gap_elsewhere_does_not(self, start_ms: int, end_ms: int, track: int) -> None:
        assert failed_step(self.outcome(60_000, self.gap(start_ms, end_ms, track))) == "completeness"


class TestWhoSigned:
    @pytest.mark.parametrize(
        "options",
        [
            {"registered": {}},
            {"registered": {}, "registered_late": {"recorder": "recorder"}},
            {"registered": {"recorder": "closer"}},
            {"registered": {"somebody": "recorder"}},
            {"registered": {"recorder": "recorder", "somebody": "recorder"}},
            {"recorder_name": "a stranger to this session"},
            {"end_reason": "recorder_lost"},
            LOST | {"registered": {"recorder": "recorder", "closer": "recorder"}},
            LOST | {"registered": {"recorder": "recorder"}, "registered_late": {"closer": "closer"}},
        ],
    )
    def test_unregistered_late_or_misplaced_keys_do_not_count(self, options: dict[str, Any]) -> None:
        assert failed_step(check(World(**options))) == "signers"

    def test_a_session_is_opened_by_an_anchor_and_ended_by_one_manifest(self) -> None:
        registration, *anchors, manifest = CLEAN.parts.entries
        for entries in (
            (registration, manifest),
            (registration, *anchors),
            (registration, *anchors, manifest, msgspec.structs.replace(manifest, index=50)),
            (registration, *anchors[::-1], manifest),
            (),
        ):
            assert failed_step(check(CLEAN, CLEAN.bundle(entries=entries, chunks=[]))) == "signers"

    def test_the_closers_word_is_no_use_while_the_recorder_is_there(self) -> None:
        world = World(**LOST, manifest_changes={"end_reason": "stopped", "attested_count": 8})
        assert failed_step(check(world)) == "signers"
        alone = [
            entry
            for entry in world.parts.entries
            if entry.envelope.signer != world.key_id("closer") or entry is world.parts.entries[-1]
        ]
        assert failed_step(check(world, world.bundle(entries=tuple(alone)))) == "manifest"

    def test_the_manifest_is_of_the_host_and_session_of_the_rest(self) -> None:
        for change in ({"host": "elsewhere"}, {"session": OTHER_SESSION}):
            assert failed_step(check(World(manifest_changes=change))) == "manifest"

    def test_a_lost_recorders_last_anchor_is_all_that_is_attested(self) -> None:
        world = World(**LOST)
        report = check(world)
        assert "the last 3 chunks not vouched for" in report.steps[3].detail
        overstated = World(**LOST, manifest_changes={"attested_count": 6})
        assert failed_step(check(overstated)) == "anchors"


class TestAnchors:
    @pytest.mark.parametrize(
        "change",
        [
            {"root": "0" * 64},
            {"session": OTHER_SESSION},
            {"recorder": "0" * 64},
            {"count": 4},
            {"count": 9},
        ],
    )
    def test_an_anchor_of_something_else_is_refused(self, change: dict[str, Any]) -> None:
        def alter(anchor: InterimAnchor) -> InterimAnchor:
            return msgspec.structs.replace(anchor, **change) if anchor.count == 5 else anchor

        assert failed_step(check(World(anchor_changes=alter))) == "anchors"

    def test_the_session_begins_with_nothing_and_only_grows(self) -> None:
        for counts in ((1, 5), (0, 5, 2)):
            assert failed_step(check(World(anchored=counts))) == "anchors"
