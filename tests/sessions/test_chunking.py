"""How fragments become chunks: sizes, times, run boundaries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucid.sessions.chunking import Chunk, Chunker, ChunkLimits
from lucid.sessions.fmp4 import Fragment, InitSegment
from lucid.sessions.recording_errors import FragmentTooLargeError, MediaFormatError

INIT = InitSegment(b"<init>", timescale=1000)
NOON = 1_700_000_000_000
SMALL = ChunkLimits(size=100, duration_ms=10_000, max_size=200)


def fragment(start: int, end: int, size: int = 10, *, keyframe: bool = True) -> Fragment:
    return Fragment(b"f" * size, keyframe, start, end - start, 1000)


def running(limits: ChunkLimits = SMALL) -> Chunker:
    """A chunker past the first chunk of its run, which ended half a second after noon."""
    chunker = Chunker("screen", limits)
    chunker.begin_run(INIT, NOON)
    assert len(chunker.add(fragment(0, 500))) == 1
    return chunker


def spans(chunks: list[Chunk]) -> list[tuple[int, int]]:
    return [(chunk.start_ms - NOON, chunk.end_ms - NOON) for chunk in chunks]


class TestFirstChunkOfARun:
    def test_is_the_init_segment_and_the_first_fragment(self) -> None:
        chunker = Chunker("screen")
        chunker.begin_run(INIT, NOON)
        (chunk,) = chunker.add(fragment(0, 500))
        assert chunk == Chunk("screen", (INIT.data, b"f" * 10), NOON, NOON + 500, starts_run=True)
        assert chunk.size == len(INIT.data) + 10

    def test_is_the_only_one_that_starts_it_but_each_can_be_played_alone(self) -> None:
        (chunk,) = running().add(fragment(500, 11_000))
        assert chunk.parts == (INIT.data, b"f" * 10)
        assert not chunk.starts_run

    def test_must_come_after_an_init_segment(self) -> None:
        with pytest.raises(MediaFormatError, match="before the init segment"):
            Chunker("screen").add(fragment(0, 500))


class TestAChunkIsClosed:
    def test_at_ten_seconds(self) -> None:
        chunker = running()
        assert chunker.add(fragment(500, 5500)) == []
        assert spans(chunker.add(fragment(5500, 10_500))) == [(500, 10_500)]

    def test_at_its_size(self) -> None:
        chunker = running()
        assert chunker.add(fragment(500, 600, size=93)) == []
        assert [chunk.size for chunk in chunker.add(fragment(600, 700, size=1))] == [100]

    def test_before_a_fragment_that_would_exceed_the_maximum(self) -> None:
        chunker = running()
        chunker.add(fragment(500, 600, size=93))
        chunks = chunker.add(fragment(600, 700, size=144))
        assert [chunk.size for chunk in chunks] == [99, 150]
        assert spans(chunks) == [(500, 600), (600, 700)]

    def test_at_the_end_of_the_recording(self) -> None:
        chunker = running()
        chunker.add(fragment(500, 900))
        assert spans(chunker.finish()) == [(500, 900)]
        assert chunker.finish() == []

    def test_not_if_it_holds_an_init_segment_only(self) -> None:
        chunker = Chunker("screen")
        chunker.begin_run(INIT, NOON)
        assert chunker.finish() == []


class TestRefuses:
    def test_a_fragment_larger_than_any_chunk(self) -> None:
        with pytest.raises(FragmentTooLargeError, match="has 201 bytes and a chunk holds at most 200: lower"):
            running().add(fragment(500, 600, size=201))

    def test_a_fragment_that_leaves_no_room_for_the_init_segment_and_loses_nothing(self) -> None:
        chunker = running()
        chunker.add(fragment(500, 600))
        with pytest.raises(FragmentTooLargeError):
            chunker.add(fragment(600, 700, size=200))
        assert spans(chunker.finish()) == [(500, 600)]

    def test_a_fragment_without_a_key_frame_at_its_start(self) -> None:
        with pytest.raises(MediaFormatError, match="at 500 ms does not start on a key frame"):
            running().add(fragment(500, 600, keyframe=False))


class TestTimes:
    def test_of_a_later_run_begin_at_its_own_start(self) -> None:
        chunker = running()
        assert chunker.begin_run(INIT, NOON + 60_000) == []
        assert spans(chunker.add(fragment(0, 500))) == [(60_000, 60_500)]

    def test_do_not_follow_a_wall_clock_that_was_set_back(self) -> None:
        chunker = running()
        chunker.begin_run(INIT, NOON - 3_600_000)
        assert spans(chunker.add(fragment(0, 500))) == [(500, 1000)]

    def test_continue_after_those_of_an_earlier_life(self) -> None:
        chunker = Chunker("screen", not_before_ms=NOON + 9_000)
        chunker.begin_run(INIT, NOON)
        assert spans(chunker.add(fragment(0, 500))) == [(9_000, 9_500)]

    def test_close_the_run_before_when_a_new_one_begins(self) -> None:
        chunker = running()
        chunker.add(fragment(500, 900))
        assert spans(chunker.begin_run(INIT, NOON + 2_000)) == [(500, 900)]


runs = st.lists(
    st.tuples(
        st.integers(-100_000, 100_000),
        st.lists(st.tuples(st.integers(1, 12_000), st.integers(1, 190)), max_size=12),
    ),
    max_size=4,
)


@given(runs)
def test_whatever_comes_no_byte_is_lost_no_limit_exceeded_and_time_goes_forward(
    history: list[tuple[int, list[tuple[int, int]]]],
) -> None:
    chunker = Chunker("screen", SMALL)
    chunks: list[Chunk] = []
    recorded = b""
    for drift, fragments in history:
        chunks += chunker.begin_run(INIT, NOON + drift)
        clock = 0
        for duration, size in fragments:
            recorded += b"f" * size
            chunks += chunker.add(fragment(clock, clock + duration, size))
            clock += duration
    chunks += chunker.finish()
    assert all(chunk.parts[0] == INIT.data for chunk in chunks)
    assert b"".join(part for chunk in chunks for part in chunk.parts[1:]) == recorded
    assert all(chunk.size <= SMALL.max_size for chunk in chunks)
    edges = [edge for chunk in chunks for edge in (chunk.start_ms, chunk.end_ms)]
    assert edges == sorted(edges)
    assert sum(chunk.starts_run for chunk in chunks) == sum(bool(fragments) for _, fragments in history)
