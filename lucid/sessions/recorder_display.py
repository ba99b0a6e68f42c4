"""Watches an X display: its size, when that changes, and whether the server is still there.

The screen grabber cannot be trusted with these: when the screen grows it records the old rectangle, when it
shrinks or when a program in the session cuts its connection (XKillClient) it just ends. The watch is a second
connection, in the recorder itself (X Window System Protocol, version 11: ChangeWindowAttributes, GetGeometry,
ConfigureNotify).
"""

import asyncio
import contextlib
import socket
import struct
from pathlib import Path
from typing import Self

from lucid.contracts import xrdp
from lucid.sessions import x11_wire as wire
from lucid.sessions.recording_errors import DisplayError
from lucid.sessions.x11_wire import ScreenSize

_CONFIGURE_NOTIFY = 22
_STRUCTURE_NOTIFY_MASK = 0x20000
_EVENT_MASK_ATTRIBUTE = 0x800
_SECONDS_TO_ANSWER = 5.0


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
    async def open(cls, number: int, cookie: bytes | None, sockets: str = wire.SOCKETS) -> Self:
        """Connect, and begin to watch. ``sockets`` is the directory of the server's.

        Raises:
            DisplayError: no server listens, it refuses the cookie, or it does not answer within 5 s.
        """
        path = f"{sockets}/X{number}"
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
                message = await self._reader.readexactly(wire.MESSAGE_SIZE)
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


async def display_answers(number: int, cookie: bytes | None, sockets: str = wire.SOCKETS) -> bool:
    """Whether the display accepts and answers a fresh connection now."""
    try:
        watch = await DisplayWatch.open(number, cookie, sockets)
    except DisplayError:
        return False
    await watch.close()
    return True


def sockets_of(display: int) -> str:
    """Where the display's socket is: in the directory of its RDP session's slot if it has one."""
    slot = Path(xrdp.SLOTS_DIRECTORY) / str(xrdp.port_of(display)) / xrdp.X11_DIRECTORY
    return str(slot) if (slot / f"X{display}").exists() else wire.SOCKETS


async def connect(number: int, sockets: str = wire.SOCKETS) -> socket.socket:
    """A blocking connection to the display's server on which nothing has been said, to be handed over.

    Raises:
        DisplayError: no server listens.
    """
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    channel.setblocking(False)
    try:
        async with asyncio.timeout(_SECONDS_TO_ANSWER):
            await asyncio.get_running_loop().sock_connect(channel, f"{sockets}/X{number}")
    except BaseException as error:
        channel.close()
        if isinstance(error, OSError):  # TimeoutError is one
            raise DisplayError(f"display :{number} cannot be reached: {error}") from error
        raise
    channel.setblocking(True)
    return channel


async def _set_up(
    number: int, cookie: bytes | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> int:
    """Returns the id of the first screen's root window."""
    writer.write(wire.setup_request(cookie))
    head = await reader.readexactly(8)
    return wire.read_setup(number, head, await reader.readexactly(wire.setup_answer_size(head))).root


async def _subscribe(root: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> ScreenSize:
    """Ask for the root window's changes first, then its size, so that no change falls in between."""
    writer.write(struct.pack("=BxH3I", 2, 4, root, _EVENT_MASK_ATTRIBUTE, _STRUCTURE_NOTIFY_MASK))
    writer.write(struct.pack("=BxHI", 14, 2, root))
    while (message := await reader.readexactly(wire.MESSAGE_SIZE))[0] != wire.REPLY:
        if message[0] == wire.ERROR:
            raise DisplayError(f"the display answers the recorder with X error {message[1]}")
    return ScreenSize(*struct.unpack_from("=2H", message, 16))
