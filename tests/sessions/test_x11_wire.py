"""The connection setup, as a server writes it and as it should not."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucid.sessions.recording_errors import DisplayError
from lucid.sessions.x11_wire import Setup, read_setup, setup_answer_size, setup_request

HEAD = struct.pack("=2B3H", 1, 0, 11, 0, 0)


def answer(
    *, depth: int = 24, bits: int = 32, masks: tuple[int, int, int] = (0xFF0000, 0xFF00, 0xFF)
) -> bytes:
    """A server's answer: vendor "abc", two image formats, one screen, two depths with visuals 7 and 8."""
    fixed = struct.pack("=4I2H8B4x", 1, 0x200000, 0x1FFFFF, 0, 3, 0xFFFF, 1, 2, 0, 0, 32, 32, 8, 255)
    formats = struct.pack("=3B5x", 1, 1, 32) + struct.pack("=3B5x", depth, bits, 32)
    screen = struct.pack("=5I6HI4B", 99, 0, 0, 0, 0, 640, 480, 1, 1, 1, 1, 8, 0, 0, depth, 2)
    visuals = struct.pack("=BxH4xIBBH3I4x", 1, 1, 7, 0, 1, 2, 0, 0, 0)
    visuals += struct.pack("=BxH4xIBBH3I4x", depth, 1, 8, 4, 8, 256, *masks)
    return fixed + b"abc\0" + formats + screen + visuals


class TestAnswer:
    def test_tells_the_root_window_our_ids_and_that_pixels_are_blue_green_red(self) -> None:
        assert read_setup(7, HEAD, answer()) == Setup(root=99, resources=0x200000, bgr0=True)

    @pytest.mark.parametrize(
        "other", [{"bits": 16}, {"masks": (0xFF, 0xFF00, 0xFF0000)}, {"masks": (0xF800, 0x7E0, 0x1F)}]
    )
    def test_tells_when_pixels_are_anything_else(self, other: dict[str, int]) -> None:
        assert not read_setup(7, HEAD, answer(**other)).bgr0  # type: ignore[arg-type]  # one of two types

    def test_that_refuses_is_an_error_with_the_servers_reason(self) -> None:
        head = struct.pack("=2B3H", 0, 5, 11, 0, 2)
        assert setup_answer_size(head) == 8
        with pytest.raises(DisplayError, match=r"display :7 refuses the recorder: no no$"):
            read_setup(7, head, b"no no\0\0\0")

    @given(st.integers(0, 200))
    def test_cut_short_is_an_error_of_its_format(self, size: int) -> None:
        whole = answer()
        with contextlib.suppress(DisplayError), pytest.raises(struct.error):
            read_setup(7, HEAD, whole[: min(size, len(whole) - 5)])


def test_the_request_carries_the_cookie_padded_to_words() -> None:
    request = setup_request(bytes(range(16)))
    assert request[12:30] == b"MIT-MAGIC-COOKIE-1"
    assert request[-16:] == bytes(range(16))
    assert len(request) == 12 + 20 + 16
    assert len(setup_request(None)) == 12
