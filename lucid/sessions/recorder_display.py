"""Watches an X display: its size, when that changes, and whether the server is still there.

A screen grabber alone cannot be trusted with these: when the screen grows it records the old rectangle,
when it shrinks or when a program in the session cuts its connection (XKillClient) it just ends. The watch
is a second connection that speaks the little of the X11 core protocol it needs (X Window System Protocol,
version 11: connection setup, ChangeWindowAttributes, GetGeometry, ConfigureNotify).
"""

import asyncio
import contextlib
import struct
from typing import NamedTuple, Self

from lucid.sessions.recording_errors import DisplayError
from lucid.sessions.xauthority import COOKIE_NAME

SOCKETS = "/tmp/.X11-unix"  # noqa: S108 - where every X server on Linux puts its sockets

_GEOMETRY_REPLY = 1
_CONFIGURE_NOTIFY = 22
_STRUCTURE_NOTIFY_MASK = 0x20000
_EVENT_MASK_ATTRIBUTE = 0x800
_SECONDS_TO_ANSWER = 5.0


class ScreenSize(NamedTuple):
    """In pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


class DisplayWatch:
    """An open connection to display ``:number``. ``size`` is the screen's size when the watch began."""

    def __init__(
        self, number: int, size: ScreenSize, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.number = number
        self.size = size
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, number: int, cookie: bytes | None) -> Self:
        """Connect, and begin to watch.

        Raises:
            DisplayError: no server listens, it refuses the cookie, or it does not answer within 5 s.
        """
        path = f"{SOCKETS}/X{number}"
        try:
            async with asyncio.timeout(_SECONDS_TO_ANSWER):
                reader, writer = await asyncio.open_unix_connection(path)
                try:
                    root = await _set_up(number, cookie, reader, writer)
                    size = await _subscribe(root, reader, writer)
                except BaseException:
                    writer.close()
                    raise
        except TimeoutError:
            raise DisplayError(f"display :{number} did not answer within {_SECONDS_TO_ANSWER:g} s") from None
        except (OSError, EOFError, struct.error) as error:
            raise DisplayError(f"display :{number} cannot be reached at {path}: {error}") from error
        return cls(number, size, reader, writer)

    async def changed(self) -> ScreenSize | None:
        """Wait until the screen's size differs from ``size``: the new one, or None once disconnected."""
        try:
            while True:
                message = await self._reader.readexactly(32)
                if message[0] & 0x7F == _CONFIGURE_NOTIFY:
                    size = ScreenSize(*struct.unpack_from("=2H", message, 20))
                    if size != self.size:
                        return size
        except (OSError, EOFError):
            return None

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


async def display_answers(number: int, cookie: bytes | None) -> bool:
    """Whether the display accepts and answers a fresh connection now."""
    try:
        watch = await DisplayWatch.open(number, cookie)
    except DisplayError:
        return False
    await watch.close()
    return True


async def _set_up(
    number: int, cookie: bytes | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> int:
    """Protocol section 8, connection setup. Returns the id of the first screen's root window."""
    name, data = (COOKIE_NAME, cookie) if cookie is not None else (b"", b"")
    # "=" is this machine's byte order without padding; the first byte tells the server which it is.
    order = b"l" if struct.pack("=H", 1) == b"\1\0" else b"B"
    writer.write(struct.pack("=cx4H2x", order, 11, 0, len(name), len(data)) + _padded(name) + _padded(data))
    status, reason_size, _, _, words = struct.unpack("=2B3H", await reader.readexactly(8))
    body = await reader.readexactly(4 * words)
    if status != 1:
        reason = body[:reason_size].decode("latin-1").strip()
        raise DisplayError(f"display :{number} refuses the recorder: {reason or 'authentication required'}")
    vendor_size, formats = struct.unpack_from("=H3xB", body, 16)
    (root,) = struct.unpack_from("=I", body, 32 + vendor_size + -vendor_size % 4 + 8 * formats)
    return int(root)


async def _subscribe(root: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> ScreenSize:
    """Ask for the root window's changes first, then its size, so that no change falls in between."""
    writer.write(struct.pack("=BxH3I", 2, 4, root, _EVENT_MASK_ATTRIBUTE, _STRUCTURE_NOTIFY_MASK))
    writer.write(struct.pack("=BxHI", 14, 2, root))
    while (message := await reader.readexactly(32))[0] != _GEOMETRY_REPLY:
        if message[0] == 0:
            raise DisplayError(f"the display answers the recorder with X error {message[1]}")
    return ScreenSize(*struct.unpack_from("=2H", message, 16))


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
