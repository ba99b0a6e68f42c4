"""The encoder's settings, and what its arguments make of difficult input."""

import re
import subprocess

import pytest

from lucid.sessions.fmp4 import Fragment, FragmentSplitter
from lucid.sessions.recorder_display import ScreenSize
from lucid.sessions.recorder_encoder import CaptureSettings, Quality, encoding_arguments, ffmpeg_command
from lucid.sessions.recording_errors import CaptureSettingError


def encoded(filters: str) -> list[Fragment]:
    """The fragments of six seconds of a test picture whose frames' times have been changed."""
    source = f"testsrc=size=160x120:rate=15:duration=6,settb=1/1000000,{filters}"
    command = ["ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", source]
    command += encoding_arguments(Quality.LOW)
    stream = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=30).stdout
    return [segment for segment in FragmentSplitter().feed(stream) if isinstance(segment, Fragment)]


class TestWallClock:
    def test_set_back_while_recording_loses_nothing(self) -> None:
        fragments = encoded("setpts='PTS-if(gt(T,2),100/TB,0)'")
        assert [fragment.start_ms for fragment in fragments] == [
            0,
            pytest.approx(500, abs=70),
            pytest.approx(5500, abs=140),
        ]
        assert fragments[-1].end_ms == pytest.approx(6000, abs=70)

    def test_set_forward_while_recording_fills_nothing_in(self) -> None:
        fragments = encoded("setpts='PTS+if(gt(T,2),3600/TB,0)'")
        assert fragments[-1].end_ms == pytest.approx(3_606_000, abs=70)
        assert sum(len(fragment.data) for fragment in fragments) < 1_000_000


class TestSettings:
    @pytest.mark.parametrize("frame_rate", [1, 120])
    def test_reach_the_command_line(self, frame_rate: int) -> None:
        command = ffmpeg_command(7, ScreenSize(800, 600), CaptureSettings(frame_rate=frame_rate))
        line = " ".join(command)
        assert f"-f x11grab -framerate {frame_rate} -video_size 800x600 -i :7" in line
        assert "-crf 28" in line

    def test_give_each_quality_its_own_detail(self) -> None:
        size = ScreenSize(800, 600)
        lines = [" ".join(ffmpeg_command(7, size, CaptureSettings(quality=quality))) for quality in Quality]
        factors = [int(re.findall(r"-crf (\d+)", line)[0]) for line in lines]
        assert factors == sorted(set(factors), reverse=True)

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            ({"frame_rate": 0}, "frame_rate is 0: set 1 to 120"),
            ({"frame_rate": 121}, "frame_rate is 121: set 1 to 120"),
            ({"quality": "best"}, "quality is 'best': set one of low, medium, high, ultra"),
            ({"stall_seconds": 5.0}, "stall_seconds is 5: set more than 5"),
        ],
    )
    def test_out_of_range_are_refused_by_name(self, wrong: dict[str, object], words: str) -> None:
        with pytest.raises(CaptureSettingError, match=words):
            CaptureSettings(**wrong)  # type: ignore[arg-type]  # wrong on purpose
