"""Whether a recording shows what was on the screen, when it was, and where the pointer was."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lucid.sessions.capture import Capture
from lucid.sessions.recorder_encoder import CaptureSettings
from tests.sessions.painter import BLACK, BLUE, GREEN, RED, WHITE, Colour, Frame, Painter, decoded
from tests.sessions.screens import Screen

pytestmark = pytest.mark.quiet

RATE = 15
PATCH = (20, 40, 120, 60)
INSIDE = (80, 70)


class Recorded:
    """A recording being made; ``frames`` and the wall-clock time of the first when it is done."""

    frames: list[Frame]
    began: float

    def first(self, colour: Colour, after: float) -> float:
        """The wall-clock time of the first frame after a time that shows a colour on the patch."""
        return next(
            self.began + frame.time
            for frame in self.frames
            if self.began + frame.time > after - 1 / RATE and frame.shows(colour, *INSIDE)
        )


@asynccontextmanager
async def recorded(screen: Screen, tmp_path: Path) -> AsyncIterator[Recorded]:
    """Records while the body runs."""
    result, video, begun = Recorded(), bytearray(), asyncio.Event()
    async with Capture(screen.number, screen.cookie, CaptureSettings(frame_rate=RATE)) as capture:

        async def receive() -> None:
            async for data in capture:
                video.extend(data)
                begun.set()

        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            receiver = tasks.create_task(receive())
            await begun.wait()
            result.began = time.time() - capture.age_ms / 1000
            yield result
            capture.stop()
            await receiver
    result.frames = decoded(bytes(video), tmp_path)


async def test_each_change_is_there_within_one_and_a_half_frames(
    screen: Screen, painter: Painter, tmp_path: Path
) -> None:
    changes = []
    async with recorded(screen, tmp_path) as recording:
        for colour, seconds in ((RED, 0.11), (GREEN, 0.29), (BLUE, 1.7), (WHITE, 0.37), (RED, 0.23)):
            changes.append((colour, painter.paint(colour, PATCH)))
            await asyncio.sleep(seconds)
    for colour, at in changes:
        assert -0.01 <= recording.first(colour, at) - at <= 1.5 / RATE


async def test_the_last_picture_is_the_one_at_the_stop(
    screen: Screen, painter: Painter, tmp_path: Path
) -> None:
    async with recorded(screen, tmp_path) as recording:
        await asyncio.sleep(1.2)
        painter.paint(GREEN, PATCH)
    assert recording.frames[-1].shows(GREEN, *INSIDE)
    assert recording.frames[-2].shows(BLACK, *INSIDE)


async def test_a_still_screen_is_recorded_once_a_second_and_as_it_is(
    screen: Screen, painter: Painter, tmp_path: Path
) -> None:
    painter.paint(BLUE, PATCH)
    async with recorded(screen, tmp_path) as recording:
        await asyncio.sleep(3.2)
    assert 4 <= len(recording.frames) <= 6
    assert all(frame.shows(BLUE, *INSIDE) for frame in recording.frames)


async def test_the_pointer_is_where_it_was(screen: Screen, painter: Painter, tmp_path: Path) -> None:
    painter.paint(BLUE)
    places = [(100, 200), (300, 333), (420, 50)]
    moves = []
    async with recorded(screen, tmp_path) as recording:
        for place in places:
            moves.append(painter.point(*place))
            await asyncio.sleep(0.4)
    for place, at in zip(places, moves, strict=True):
        shown = [f for f in recording.frames if recording.began + f.time <= at + 1.5 / RATE][-1]
        assert marks(shown, place) > 20
        assert [marks(shown, other) for other in places if other != place] == [0, 0]


def marks(frame: Frame, place: tuple[int, int]) -> int:
    """Of the 16x16 pixels around a place, those that are not blue."""
    around = range(-8, 8)
    return sum(not frame.shows(BLUE, place[0] + dx, place[1] + dy) for dx in around for dy in around)
