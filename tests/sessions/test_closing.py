"""What the closing key says of the tracks of a recorder that was lost, by what is stored of each."""

import pytest

from lucid.evidence.leaf import Leaf
from lucid.sessions.closing import holes, tracks_of
from lucid.sessions.recording_state import CODECS, EVENTS, PICTURE

HEX = "0" * 64
SESSION = "00000000-0000-4000-8000-000000000000"
BOTH = {PICTURE, EVENTS}


def leaf(track: int, index: int, start_ms: int, end_ms: int) -> Leaf:
    return Leaf(
        session=SESSION, track=track, index=index, start_ms=start_ms, end_ms=end_ms, plain_size=1,
        sealed_size=81, codec="none", sealed_sha256=HEX, key_commitment=HEX, raw_commitment=HEX,
    )  # fmt: skip


PICTURES = [leaf(PICTURE, number, 10_000 * number, 10_000 * number + 10_000) for number in range(3)]


def gaps(leaves: list[Leaf], tracks: set[int]) -> list[tuple[int, int, int]]:
    found = holes(leaves, tracks)
    assert {gap.cause for gap in found} <= {"unexplained"}
    return [(gap.track, gap.start_ms, gap.end_ms) for gap in found]


def test_before_the_first_chunk_nothing_is_missing() -> None:
    assert gaps([], set()) == []
    assert gaps([], BOTH) == []


def test_a_picture_alone_has_the_holes_between_its_chunks() -> None:
    assert gaps(PICTURES, {PICTURE}) == []
    assert gaps([PICTURES[0], leaf(PICTURE, 1, 13_000, 20_000)], {PICTURE}) == [(0, 10_000, 13_000)]


@pytest.mark.parametrize(("end_ms", "missing"), [(29_000, []), (12_000, [(1, 12_000, 30_000)])])
def test_events_that_end_before_the_picture_are_missing_from_there(
    end_ms: int, missing: list[tuple[int, int, int]]
) -> None:
    assert gaps([*PICTURES, leaf(EVENTS, 0, 500, 500), leaf(EVENTS, 1, 500, end_ms)], BOTH) == missing


def test_a_picture_that_ends_before_the_events_is_missing_from_there() -> None:
    assert gaps([PICTURES[0], leaf(EVENTS, 0, 500, 60_500)], BOTH) == [(0, 10_000, 60_500)]


def test_of_events_without_a_chunk_everything_is_missing() -> None:
    assert gaps(PICTURES, BOTH) == [(1, 0, 30_000)]
    tracks = tracks_of(PICTURES, BOTH)
    assert [(track.track, track.codec, track.count) for track in tracks] == [
        (0, CODECS[0], 3),
        (1, CODECS[1], 0),
    ]


def test_an_unknown_track_is_named_for_what_it_is() -> None:
    tracks = tracks_of([*PICTURES, leaf(7, 0, 0, 1)], {PICTURE})
    assert [track.codec for track in tracks] == [CODECS[0], "application/octet-stream"]
