"""Which chunks a stretch of time takes."""

import msgspec
import pytest

from lucid.evidence.leaf import Leaf
from lucid.kit.errors import Invalid, NotFound
from lucid.sessions.disclosure import pictures, select
from tests.evidence.world import SESSION


def leaf(index: int, start_ms: int, end_ms: int) -> Leaf:
    return Leaf(
        session=SESSION,
        track=0,
        index=index,
        start_ms=start_ms,
        end_ms=end_ms,
        plain_size=1,
        sealed_size=81,
        codec="none",
        sealed_sha256="0" * 64,
        key_commitment="0" * 64,
        raw_commitment="0" * 64,
    )


LEAVES = [leaf(0, 100, 200), leaf(1, 200, 300), leaf(2, 300, 300), leaf(3, 500, 600)]


@pytest.mark.parametrize(
    ("stretch", "indices"),
    [
        ((100, 200), [0]),
        ((150, 201), [0, 1]),
        ((199, 200), [0]),
        ((200, 300), [1]),
        ((300, 301), [2]),
        ((299, 501), [1, 2, 3]),
        ((0, 1000), [0, 1, 2, 3]),
    ],
)
def test_a_stretch_is_rounded_out_to_whole_chunks_and_no_further(
    stretch: tuple[int, int], indices: list[int]
) -> None:
    assert [found.index for found in select(LEAVES, *stretch)] == indices


@pytest.mark.parametrize("stretch", [(0, 100), (301, 500), (600, 700), (200, 200), (300, 100)])
def test_a_stretch_without_a_chunk_is_refused_with_the_times_that_there_are(stretch: tuple[int, int]) -> None:
    with pytest.raises(Invalid, match="from 100 to 600"):
        select(LEAVES, *stretch)


def test_pictures_are_those_of_their_track_alone() -> None:
    other = msgspec.structs.replace(LEAVES[1], track=1)
    assert [found.index for found in pictures([*LEAVES, other], 1, 2)] == [1, 2]
    assert [found.index for found in pictures(LEAVES, 3, 20)] == [3]
    with pytest.raises(NotFound, match="4 chunks so far"):
        pictures([*LEAVES, other], 4, 1)


def test_an_empty_recording_has_nothing_to_disclose() -> None:
    with pytest.raises(Invalid, match="no chunks"):
        select([], 0, 1)
