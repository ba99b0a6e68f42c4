"""Recordings of several encoder runs become one file that plays, by real ffmpeg."""

import io
import subprocess
from pathlib import Path

import pytest

from lucid.cli.mp4_runs import Mp4Error, find_runs
from lucid.cli.output import Failure
from lucid.cli.replay import write


def _encode(directory: Path, seconds: int, size: str) -> bytes:
    path = directory / "run.mp4"
    source = f"testsrc=duration={seconds}:size={size}:rate=10"
    command = ["ffmpeg", "-nostdin", "-y", "-loglevel", "error", "-f", "lavfi", "-i", source]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "10", "-f", "mp4"]
    command += ["-movflags", "+empty_moov+default_base_moof+frag_keyframe", str(path)]
    subprocess.run(command, check=True)
    return path.read_bytes()


def _probe(path: Path) -> tuple[float, str]:
    """Seconds and size of a video."""
    shown = "format=duration:stream=width,height"
    command = ["ffprobe", "-v", "error", "-show_entries", shown, "-of", "csv=p=0", str(path)]
    size, duration = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(duration), size


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return _encode(tmp_path_factory.mktemp("small"), 2, "160x120")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return _encode(tmp_path_factory.mktemp("large"), 1, "320x240")


class TestFindingRuns:
    def test_yields_one_for_each_start_of_the_encoder(self, small: bytes, large: bytes) -> None:
        runs = find_runs(io.BytesIO(small + large + small))
        assert [run.spans for run in runs] == [
            [(0, len(small))],
            [(len(small), len(small + large))],
            [(len(small + large), len(small + large + small))],
        ]
        assert runs[0].head == runs[2].head != runs[1].head

    def test_leaves_out_init_segments_that_a_run_repeats(self, small: bytes) -> None:
        (run,) = find_runs(io.BytesIO(small))
        second = small.rindex(b"moof") - 4
        repeated = small[:second] + run.head + small[second:]
        (again,) = find_runs(io.BytesIO(repeated))
        assert b"".join(repeated[begin:end] for begin, end in again.spans) == small

    def test_takes_a_recording_that_begins_in_the_middle_of_a_run(self, small: bytes) -> None:
        (run,) = find_runs(io.BytesIO(small))
        middle = run.head + small[small.rindex(b"moof") - 4 :]
        assert [found.spans for found in find_runs(io.BytesIO(middle))] == [[(0, len(middle))]]

    def test_yields_none_for_nothing(self) -> None:
        assert find_runs(io.BytesIO()) == []

    @pytest.mark.parametrize("cut", [1, 100, 7000])
    def test_refuses_a_stream_that_was_cut_off(self, small: bytes, cut: int) -> None:
        with pytest.raises(Mp4Error, match="cut off or damaged"):
            find_runs(io.BytesIO(small[:-cut]))

    def test_refuses_what_is_no_mp4(self) -> None:
        with pytest.raises(Mp4Error):
            find_runs(io.BytesIO(b"<html>" * 10))


class TestWriting:
    def test_one_run_byte_for_byte(self, small: bytes, tmp_path: Path) -> None:
        file = io.BytesIO(small)
        assert write(file, find_runs(file), tmp_path / "a.mp4", tmp_path) == [tmp_path / "a.mp4"]
        assert (tmp_path / "a.mp4").read_bytes() == small

    def test_joins_runs_of_one_size(self, small: bytes, tmp_path: Path) -> None:
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        file = io.BytesIO(small * 3)
        assert write(file, find_runs(file), tmp_path / "a.mp4", scratch) == [tmp_path / "a.mp4"]
        duration, size = _probe(tmp_path / "a.mp4")
        assert duration == pytest.approx(6.0, abs=0.3)
        assert size == "160,120"

    def test_leaves_runs_of_different_sizes_apart(self, small: bytes, large: bytes, tmp_path: Path) -> None:
        file = io.BytesIO(small + large)
        made = write(file, find_runs(file), tmp_path / "a.mp4", tmp_path)
        assert [path.name for path in made] == ["a-1.mp4", "a-2.mp4"]
        assert [_probe(path)[1] for path in made] == ["160,120", "320,240"]

    def test_refuses_an_empty_recording(self, tmp_path: Path) -> None:
        with pytest.raises(Failure, match="nothing has been recorded"):
            write(io.BytesIO(), [], tmp_path / "a.mp4", tmp_path)
