"""A session's figures, by example."""

from lucid.contracts.session_api import ChunkDelays
from lucid.evidence.leaf import Leaf
from lucid.evidence.manifest import Gap, Manifest, RecordedTrack
from lucid.sessions import figures

SESSION = "018f2b6e-7c1d-4b3a-9e52-0c4d8a6f1b27"


def leaf(index: int, start_ms: int, end_ms: int, plain: int = 1000, sealed: int = 500) -> Leaf:
    return Leaf(
        session=SESSION,
        track=0,
        index=index,
        start_ms=start_ms,
        end_ms=end_ms,
        plain_size=plain,
        sealed_size=sealed,
        codec="zstd",
        sealed_sha256="0" * 64,
        key_commitment="0" * 64,
        raw_commitment="0" * 64,
    )


THREE = [leaf(0, 1000, 11_000), leaf(1, 11_000, 21_000), leaf(2, 60_000, 70_000, plain=2500)]


def manifest(*gaps: Gap) -> Manifest:
    return Manifest(
        session=SESSION,
        owner="owner",
        host="host",
        policy_sha256="0" * 64,
        tracks=(RecordedTrack(track=0, codec="video/mp4", count=3),),
        start_ms=1000,
        end_ms=70_000,
        count=3,
        root="0" * 64,
        end_reason="stopped",
        gaps=gaps,
        attested_count=3,
        recorder="0" * 64,
    )


def test_the_span_runs_from_the_first_frame_to_the_last_with_its_gaps() -> None:
    assert figures.span_ms(THREE) == 69_000
    assert figures.span_ms([]) == 0


def test_the_ratio_is_of_all_chunks_together_and_none_without_any() -> None:
    assert figures.ratio(THREE) == 3.0
    assert figures.ratio([]) is None


def test_gaps_are_the_manifest_s_and_until_then_those_that_show() -> None:
    assert [(gap.start_ms, gap.end_ms) for gap in figures.gaps(THREE, None)] == [(21_000, 60_000)]
    named = Gap(track=0, start_ms=21_500, end_ms=60_000, cause="paused")
    assert figures.gaps(THREE, manifest(named)) == (named,)
    assert figures.gaps(THREE, manifest()) == ()


def test_delays_run_from_a_chunk_s_last_frame_to_its_record() -> None:
    stored = [leaf(n, 0, 1000) for n in range(100)]
    found = figures.delays(stored, [1001 + n for n in range(100)])
    assert found == ChunkDelays(median_ms=50, p95_ms=95, longest_ms=100)
    assert figures.delays(stored[:1], [1007, 5000]) == ChunkDelays(median_ms=7, p95_ms=7, longest_ms=7)
    assert figures.delays([], []) is None


def test_what_no_anchor_covers_ages_from_its_last_frame() -> None:
    assert figures.unanchored_ms(THREE, 1, 30_000) == 9000
    assert figures.unanchored_ms(THREE, 3, 30_000) == 0
    assert figures.unanchored_ms(THREE, 0, 5000) == 0
    assert figures.unanchored_ms([], 0, 5000) == 0
