"""Drawing the pointer: opaque and translucent pixels, the edges of the screen, cursors made to hurt."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucid.sessions.cursor import BLENDED_AT_MOST, NO_ROWS, Cursor, Rows, blend
from lucid.sessions.x11_wire import ScreenSize

SCREEN = ScreenSize(5, 4)
OPAQUE, CLEAR = bytes((1, 2, 3, 255)), bytes(4)
HALF = bytes((100, 0, 0, 128))  # a blue of 200, multiplied by its alpha


def drawn(cursor: Cursor, pointer: tuple[int, int]) -> tuple[dict[tuple[int, int], bytes], Rows]:
    """The pixels of a white screen that a cursor has changed, by x and y, and the rows it claims."""
    frame = bytearray(b"\xff" * (4 * SCREEN.width * SCREEN.height))
    rows = cursor.draw(frame, SCREEN, pointer)
    pixels = {
        (x, y): bytes(frame[offset : offset + 3])
        for y in range(SCREEN.height)
        for x in range(SCREEN.width)
        if frame[(offset := 4 * (y * SCREEN.width + x)) :][:3] != b"\xff\xff\xff"
    }
    return pixels, rows


class TestDrawing:
    def test_puts_the_hot_pixel_where_the_pointer_is(self) -> None:
        cursor = Cursor(ScreenSize(2, 2), (1, 0), OPAQUE + CLEAR + CLEAR + OPAQUE)
        pixels, rows = drawn(cursor, (3, 1))
        assert set(pixels) == {(2, 1), (3, 2)}
        assert rows == Rows(1, 3)

    def test_lets_through_what_lies_under_a_translucent_pixel(self) -> None:
        pixels, _ = drawn(Cursor(ScreenSize(1, 1), (0, 0), HALF), (0, 0))
        assert pixels[0, 0] == bytes((227, 127, 127))

    @given(
        pointer=st.tuples(st.integers(-9, 9), st.integers(-9, 9)),
        pixels=st.lists(st.sampled_from((OPAQUE, CLEAR, HALF)), min_size=12, max_size=12),
    )
    def test_at_any_place_changes_just_the_pixels_on_the_screen(
        self, pointer: tuple[int, int], pixels: list[bytes]
    ) -> None:
        cursor = Cursor(ScreenSize(3, 4), (1, 1), b"".join(pixels))
        changed, rows = drawn(cursor, pointer)
        expected = {
            (x, y)
            for index, pixel in enumerate(pixels)
            if pixel != CLEAR
            and 0 <= (x := pointer[0] - 1 + index % 3) < SCREEN.width
            and 0 <= (y := pointer[1] - 1 + index // 3) < SCREEN.height
        }
        assert set(changed) == expected
        assert all(rows.top <= y < rows.bottom for _, y in expected)

    def test_of_a_huge_translucent_cursor_hides_none_of_it_and_takes_no_time(self) -> None:
        size = ScreenSize(2000, 2000)
        frame = bytearray(b"\xff" * (4 * size.width * size.height))
        begin = time.process_time()
        Cursor(size, (0, 0), HALF * (size.width * size.height)).draw(frame, size, (0, 0))
        assert time.process_time() - begin < 1
        assert frame[:3] == bytes((227, 127, 127))
        assert frame[-4:-1] == HALF[:3]
        assert b"\xff\xff\xff" not in frame[4 * BLENDED_AT_MOST :]

    def test_of_fewer_pixels_than_the_size_says_is_harmless(self) -> None:
        pixels, _ = drawn(Cursor(ScreenSize(60000, 60000), (0, 0), OPAQUE), (0, 0))
        assert set(pixels) == {(0, 0)}


class TestBlending:
    @given(over=st.binary(min_size=4, max_size=4), under=st.binary(min_size=4, max_size=4))
    def test_is_the_over_operator_whatever_the_values(self, over: bytes, under: bytes) -> None:
        blended = blend(over, under)
        for channel in range(3):
            exact = min(255, over[channel] + under[channel] * (255 - over[3]) / 255)
            assert blended[channel] == pytest.approx(exact, abs=0.51)


class TestRows:
    @pytest.mark.parametrize(
        ("one", "other", "both"),
        [
            (Rows(1, 3), Rows(2, 7), Rows(1, 7)),
            (Rows(5, 6), Rows(1, 2), Rows(1, 6)),
            (NO_ROWS, Rows(4, 5), Rows(4, 5)),
            (Rows(4, 5), Rows(9, 9), Rows(4, 5)),
        ],
    )
    def test_together_are_the_fewest_that_hold_both(self, one: Rows, other: Rows, both: Rows) -> None:
        assert one | other == both

    def test_within_a_screen_are_those_on_it(self) -> None:
        assert Rows(-3, 9).within(4) == Rows(0, 4)
        assert Rows(7, 9).within(4) == Rows(4, 4)
        assert Rows(-5, -2).within(4) == NO_ROWS
