"""Chunks of events follow on one another without a hole, and say so where nothing happened."""

import json
from typing import Any

import pytest

from lucid.sessions.chunking import Chunk
from lucid.sessions.event_chunks import CHUNK_SIZE, EventChunker
from lucid.sessions.events import Clipboard, Listening, Pointer, Still

BEGIN = 1_700_000_000_000


@pytest.fixture
def chunker() -> EventChunker:
    """Listening; its first chunk is out."""
    made = EventChunker("1")
    made.begin_run(BEGIN)
    (first,) = made.add(Listening(at=0, to=("input",)))
    assert (first.start_ms, first.end_ms, lines(first)[0]["what"]) == (BEGIN, BEGIN, "listening")
    return made


def lines(chunk: Chunk) -> list[dict[str, Any]]:
    return [json.loads(line) for line in b"".join(chunk.parts).splitlines()]


def moved(at: int) -> Pointer:
    return Pointer(at=at, x=1, y=2)


def test_a_chunk_is_closed_ten_seconds_after_its_first_event(chunker: EventChunker) -> None:
    chunks = []
    for second in range(30):
        chunks += chunker.add(Still(at=1000 * second))
        if second in {4, 6}:
            chunks += chunker.add(moved(1000 * second + 100))
    (chunk,) = chunks
    assert (chunk.start_ms, chunk.end_ms) == (BEGIN, BEGIN + 15_000)
    assert [line["at"] - BEGIN for line in lines(chunk)] == [4100, 6100]


def test_a_minute_without_any_is_a_line_that_says_so(chunker: EventChunker) -> None:
    chunks = [chunk for second in range(121) for chunk in chunker.add(Still(at=1000 * second))]
    assert [(chunk.start_ms - BEGIN, chunk.end_ms - BEGIN) for chunk in chunks] == [
        (0, 60_000),
        (60_000, 120_000),
    ]
    assert lines(chunks[1]) == [{"what": "quiet", "at": BEGIN + 120_000, "since": BEGIN + 60_000}]


def test_chunks_follow_on_one_another_over_runs_whatever_the_clock_says(chunker: EventChunker) -> None:
    chunker.add(moved(3000))
    (left,) = chunker.finish()
    assert (left.start_ms, left.end_ms) == (BEGIN, BEGIN + 3000)
    chunker.begin_run(BEGIN + 1000)  # it was set back
    (again,) = chunker.add(Listening(at=0, to=("input",)))
    assert (again.start_ms, again.end_ms) == (BEGIN + 3000, BEGIN + 3000)


def test_the_end_of_a_run_keeps_what_was_still_until_then(chunker: EventChunker) -> None:
    chunker.add(Still(at=2000))
    (left,) = chunker.finish()
    assert lines(left) == [{"what": "quiet", "at": BEGIN + 2000, "since": BEGIN}]
    assert chunker.finish() == []


def test_times_do_not_go_back(chunker: EventChunker) -> None:
    chunker.add(moved(5000))
    chunker.add(moved(4000))
    assert [line["at"] - BEGIN for line in lines(chunker.finish()[0])] == [5000, 5000]


def test_large_texts_close_it_early(chunker: EventChunker) -> None:
    text = Clipboard(at=10, owner="desktop", types=(), text="x" * 65536)
    chunks = [chunk for _ in range(40) for chunk in chunker.add(text)]
    assert len(chunks) == 2
    assert all(chunk.size <= CHUNK_SIZE + 70_000 for chunk in chunks)


def test_nothing_comes_before_the_beginning() -> None:
    with pytest.raises(ValueError, match="beginning"):
        EventChunker("1").add(moved(1))
