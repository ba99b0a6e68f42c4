"""Draws the pointer's picture into a frame, which an X server's images of the screen leave out.

Pixels are four bytes, blue, green, red and alpha, the colours multiplied by alpha already (XFIXES protocol,
section 8, GetCursorImage).
"""

import re
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from lucid.sessions.x11_wire import ScreenSize

BLENDED_AT_MOST = 16_384
"""Translucent pixels of one cursor, 128x128, that are blended.

A program in the session may make its cursor as large as it likes; translucent pixels beyond these are drawn
opaque, which costs next to nothing and hides none.
"""

_ARROW = """\
#
##
#.#
#..#
#...#
#....#
#.....#
#......#
#.......#
#........#
#.........#
#......#####
#...#..#
#..##...#
#.#  #..#
##    #..#
#     #..#
       ##"""
_INK = {" ": bytes(4), "#": b"\0\0\0\xff", ".": b"\xff\xff\xff\xff"}

_OPAQUE = re.compile(rb"\xff+")
_TRANSLUCENT = re.compile(rb"[\x01-\xfe]+")


class Canvas(Protocol):
    """A frame's bytes, row by row: a bytearray, or a memory map."""

    def __getitem__(self, place: slice, /) -> bytes | bytearray: ...
    def __setitem__(self, place: slice, pixels: bytes | bytearray, /) -> None: ...


class Rows(NamedTuple):
    """Rows of the screen from ``top`` to before ``bottom``; none when these are equal."""

    top: int
    bottom: int

    def __or__(self, other: "Rows") -> "Rows":
        """The fewest rows that hold both."""
        if self.top >= self.bottom:
            return other
        if other.top >= other.bottom:
            return self
        return Rows(min(self.top, other.top), max(self.bottom, other.bottom))

    def within(self, height: int) -> "Rows":
        """Those of them that are on a screen of this height."""
        return Rows(min(max(self.top, 0), height), max(min(self.bottom, height), 0))


NO_ROWS = Rows(0, 0)


class _Run(NamedTuple):
    """Neighbouring pixels of one row, all opaque or all translucent."""

    row: int
    column: int
    pixels: bytes
    opaque: bool


class Cursor:
    """A cursor's picture. ``hot`` is the pixel, from its top left corner, that points.

    Two are equal if they draw the same.
    """

    def __init__(self, size: ScreenSize, hot: tuple[int, int], pixels: bytes) -> None:
        self._drawn = (size, hot, pixels)
        self._height = size.height
        self._hot = hot
        self._runs: list[_Run] = []
        blended = 0
        for run in _runs(size, pixels):
            if not run.opaque:
                blended += len(run.pixels) // 4
            self._runs.append(run._replace(opaque=run.opaque or blended > BLENDED_AT_MOST))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cursor) and other._drawn == self._drawn

    __hash__ = None  # type: ignore[assignment]  # nobody looks one up

    def draw(self, frame: Canvas, screen: ScreenSize, pointer: tuple[int, int]) -> Rows:
        """Draw the part that is on the screen, and return the rows in which it may be."""
        left, top = pointer[0] - self._hot[0], pointer[1] - self._hot[1]
        for row, column, pixels, opaque in self._runs:
            x, y = left + column, top + row
            begin, end = max(0, -x), min(len(pixels) // 4, screen.width - x)
            if begin >= end or not 0 <= y < screen.height:
                continue
            offset = 4 * (y * screen.width + x + begin)
            place = slice(offset, offset + 4 * (end - begin))
            over = pixels[4 * begin : 4 * end]
            frame[place] = over if opaque else blend(over, frame[place])
        return Rows(top, top + self._height).within(screen.height)


def arrow() -> Cursor:
    """A white arrow with a black edge that points to its top left corner."""
    lines = _ARROW.split("\n")
    size = ScreenSize(max(map(len, lines)), len(lines))
    pixels = b"".join(_INK[ink] for line in lines for ink in line.ljust(size.width))
    return Cursor(size, (0, 0), pixels)


def blend(over: bytes, under: bytes | bytearray) -> bytearray:
    """Pixels over others: the operator "over" on colours multiplied by alpha."""
    blended = bytearray(over)
    for pixel in range(0, len(over), 4):
        through = 255 - over[pixel + 3]
        for place in range(pixel, pixel + 3):
            blended[place] = min(255, over[place] + (under[place] * through + 127) // 255)
    return blended


def _runs(size: ScreenSize, pixels: bytes) -> Iterator[_Run]:
    stride = 4 * size.width
    for row in range(size.height):
        line = pixels[row * stride : (row + 1) * stride]
        alpha = line[3::4]
        for pattern in (_OPAQUE, _TRANSLUCENT):
            for match in pattern.finditer(alpha):
                begin, end = match.span()
                yield _Run(row, begin, line[4 * begin : 4 * end], pattern is _OPAQUE)
