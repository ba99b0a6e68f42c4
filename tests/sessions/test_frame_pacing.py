"""Frames on a still screen come once a second, and where the encoder wants its key frames."""

import pytest

from lucid.sessions.frame_pacing import FramePacing


def still(frame_rate: int, ticks: range) -> list[int]:
    """The ticks at which a frame is taken of a screen on which nothing changes."""
    pacing, taken = FramePacing(frame_rate), []
    for tick in ticks:
        if pacing.repeat_due(tick):
            pacing.taken(tick)
            taken.append(tick)
    return taken


@pytest.mark.parametrize(
    ("frame_rate", "frames"),
    [
        (1, [0, 1, 2, 3]),
        (10, [0, 5, 15, 25]),
        (15, [0, 8, 23, 38]),
        (120, [0, 60, 180, 300]),
    ],
)
def test_on_a_still_screen_they_come_at_once_after_half_a_second_and_then_every_second(
    frame_rate: int, frames: list[int]
) -> None:
    assert still(frame_rate, range(frames[-1] + 1)) == frames


def test_one_second_stays_in_step_with_the_others_after_a_change() -> None:
    pacing = FramePacing(10)
    for tick in (0, 3, 7, 8, 12):
        pacing.taken(tick)
    assert [tick for tick in range(13, 17) if pacing.repeat_due(tick)] == [15, 16]


def test_ticks_missed_by_a_slow_encoder_are_not_made_up_for() -> None:
    assert still(10, range(0, 60, 7)) == [0, 7, 21, 28, 35, 49, 56]


def test_a_change_at_the_tick_of_a_repetition_takes_its_place() -> None:
    pacing = FramePacing(10)
    pacing.taken(5)
    assert not pacing.repeat_due(6)
    assert pacing.repeat_due(15)
