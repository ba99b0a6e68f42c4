"""The encoder's settings and its command line."""

import re

import pytest

from lucid.sessions.recorder_encoder import CaptureSettings, Quality, ffmpeg_command
from lucid.sessions.recording_errors import CaptureSettingError


class TestSettings:
    def test_reach_the_command_line(self) -> None:
        command = ffmpeg_command(Quality.HIGH, "/opt/ffmpeg")
        assert command[0] == "/opt/ffmpeg"
        assert "-crf 28" in " ".join(command)

    def test_give_each_quality_its_own_detail(self) -> None:
        lines = [" ".join(ffmpeg_command(quality)) for quality in Quality]
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
