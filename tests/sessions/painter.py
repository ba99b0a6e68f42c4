"""A program that draws on a test's screen, and the recorded frames as it can compare them."""

import struct
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from lucid.sessions.x11_connection import X11Connection

Colour = tuple[int, int, int]
RAW = ("-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-f", "rawvideo", "pipe:1")
BLACK, RED, GREEN, BLUE, WHITE = (0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


class Painter:
    """Paints on the root window and moves the pointer; each returns once the server has done it."""

    def __init__(self, connection: X11Connection) -> None:
        self._connection = connection
        self._root = self._connection.setup.root

    def paint(self, colour: Colour, place: tuple[int, int, int, int] = (0, 0, 0, 0)) -> float:
        """Fill x, y, width, height (or all) by ChangeWindowAttributes and ClearArea. Returns time.time()."""
        self._connection.send(2, 0, struct.pack("=3I", self._root, 2, int.from_bytes(bytes(colour))))
        self._connection.send(61, 0, struct.pack("=I4H", self._root, *place))
        return self._done()

    def point(self, x: int, y: int) -> float:
        """WarpPointer. Returns time.time()."""
        self._connection.send(41, 0, struct.pack("=2I2h2H2h", 0, self._root, 0, 0, 0, 0, x, y))
        return self._done()

    def _done(self) -> float:
        self._connection.ask(43, 0)  # GetInputFocus: answered when all before it has been done
        return time.time()


class Frame(NamedTuple):
    """``time`` in seconds since the first frame; ``pixels`` is RGB, row by row."""

    time: float
    pixels: bytes
    width: int

    def at(self, x: int, y: int) -> Colour:
        offset = 3 * (y * self.width + x)
        red, green, blue = self.pixels[offset : offset + 3]
        return red, green, blue

    def shows(self, colour: Colour, x: int, y: int) -> bool:
        """Whether the pixel has about this colour: encoding changes it a little."""
        return all(abs(a - b) < 40 for a, b in zip(self.at(x, y), colour, strict=True))


def decoded(video: bytes, directory: Path) -> list[Frame]:
    """All frames of a recording."""
    file = directory / "decoded.mp4"
    file.write_bytes(video)
    probe = [
        "ffprobe",
        "-v",
        "error",
        "-show_entries",
        "stream=width,height:frame=pts_time",
        "-of",
        "csv=p=0",
    ]
    *times, size = subprocess.run(
        [*probe, str(file)], stdout=subprocess.PIPE, check=True, timeout=30
    ).stdout.split()
    width, height = map(int, size.split(b","))
    raw = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(file), *RAW],
        stdout=subprocess.PIPE,
        check=True,
        timeout=30,
    ).stdout
    step = 3 * width * height
    assert len(raw) == step * len(times)
    return [
        Frame(float(moment.rstrip(b",")), raw[index * step : (index + 1) * step], width)
        for index, moment in enumerate(times)
    ]
