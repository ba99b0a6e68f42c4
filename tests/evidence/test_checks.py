"""What a session's own evidence may say and still hold; what it may not is in `tests/forgeries`."""

from collections.abc import Callable

import msgspec

from lucid.evidence.checks import HOLE_LIMIT_MS
from lucid.evidence.leaf import Leaf
from lucid.evidence.manifest import Gap
from lucid.evidence.steps import Outcome, Report
from tests.evidence.verifying import LOST, check, failed_step
from tests.evidence.world import CHUNK_MS, START_MS, World


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


def test_a_lost_recorders_last_anchor_is_all_that_is_attested() -> None:
    report = check(World(**LOST))
    assert report.outcome is Outcome.VERIFIED
    assert "the last 3 chunks not vouched for" in report.steps[3].detail
