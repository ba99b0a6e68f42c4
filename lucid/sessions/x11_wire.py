"""The little of the X11 core protocol that both of the recorder's connections need, as bytes and values.

Source: X Window System Protocol, version 11, section 8 (connection setup) and appendix B (encoding). All
integers are in this machine's byte order: the servers that are recorded run on it.
"""

import struct
from typing import NamedTuple

from lucid.sessions.recording_errors import DisplayError
from lucid.sessions.xauthority import COOKIE_NAME

SOCKETS = "/tmp/.X11-unix"  # noqa: S108 - where every X server on Linux puts its sockets

MESSAGE_SIZE = 32
"""Bytes of an event, an error, and the fixed part of a reply."""
ERROR, REPLY, GENERIC_EVENT = 0, 1, 35

_BYTE_ORDER = b"l" if struct.pack("=H", 1) == b"\1\0" else b"B"
_TRUE_COLOUR = (0xFF0000, 0x00FF00, 0x0000FF)


class ScreenSize(NamedTuple):
    """In pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


class Setup(NamedTuple):
    """What the server says of its first screen. ``resources`` is the first id that this client may give out.

    ``bgr0`` is whether images of the root window have four bytes a pixel: blue, green, red, and one unused.
    """

    root: int
    resources: int
    bgr0: bool


def setup_request(cookie: bytes | None) -> bytes:
    """The first bytes on a connection."""
    name, data = (COOKIE_NAME, cookie) if cookie is not None else (b"", b"")
    head = struct.pack("=cx4H2x", _BYTE_ORDER, 11, 0, len(name), len(data))
    return head + padded(name) + padded(data)


def setup_answer_size(head: bytes) -> int:
    """How many bytes follow the first eight of the server's answer."""
    (words,) = struct.unpack_from("=H", head, 6)
    return 4 * int(words)


def read_setup(display: int, head: bytes, body: bytes) -> Setup:
    """The server's whole answer.

    Raises:
        DisplayError: it refuses the connection; the message has its reason.
        struct.error: the answer is cut short.
    """
    if head[0] != 1:
        reason = body[: head[1]].decode("latin-1").strip()
        raise DisplayError(f"display :{display} refuses the recorder: {reason or 'authentication required'}")
    resources, vendor_size, formats, byte_order = struct.unpack_from("=4xI8xH3x2B", body)
    offset = 32 + vendor_size + -vendor_size % 4
    bits = dict(struct.unpack_from("=2B", body, offset + 8 * entry) for entry in range(formats))
    offset += 8 * formats
    root, visual, depth, depths = struct.unpack_from("=I28xI2xBB", body, offset)
    true_colour = visual in _true_colour_visuals(body, offset + 40, depths)
    least_significant_first = byte_order == 0
    return Setup(root, resources, true_colour and bits.get(depth) == 32 and least_significant_first)


def _true_colour_visuals(body: bytes, offset: int, depths: int) -> set[int]:
    """The ids of the visuals whose pixels are 0xRRGGBB, among a screen's list of depths."""
    found = set()
    for _ in range(depths):
        (visuals,) = struct.unpack_from("=2xH4x", body, offset)
        offset += 8
        for _ in range(visuals):
            visual, *masks = struct.unpack_from("=I4x3I4x", body, offset)
            offset += 24
            if tuple(masks) == _TRUE_COLOUR:
                found.add(visual)
    return found


def padded(data: bytes) -> bytes:
    """The data and as many zero bytes as make its length a multiple of four."""
    return data + bytes(-len(data) % 4)
