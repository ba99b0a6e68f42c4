"""A picture of an X screen in this process's memory, kept up to date by copying only rows that have changed.

The server tells which parts of the screen have been drawn on (DAMAGE extension 1.1) and which picture the
pointer has (XFIXES 2.0), and copies rows into memory that both processes share (MIT-SHM 1.2). That memory is
an anonymous file handed over the connection: unlike a System V segment no third process can name it, it works
whichever unix user the server runs as, and it cannot be cut short under the reader. Sources: the protocol
descriptions of these three extensions.
"""

import fcntl
import mmap
import os
import struct

from lucid.sessions.cursor import NO_ROWS, Cursor, Rows, arrow
from lucid.sessions.recording_errors import DisplayError
from lucid.sessions.x11_connection import DisplayRequestError, X11Connection
from lucid.sessions.x11_wire import ScreenSize

_QUERY_POINTER = 38
_BAD_CURSOR, _BAD_ACCESS = 6, 10
_SHM_GET_IMAGE, _SHM_ATTACH_FD = 4, 6
_DAMAGE_CREATE, _DAMAGE_SUBTRACT = 1, 3
_SELECT_CURSOR_INPUT, _GET_CURSOR_IMAGE, _CREATE_REGION, _FETCH_REGION = 3, 4, 5, 19

_REPORT_NON_EMPTY = 3  # one event when the damage begins, none until it was taken away
_DISPLAY_CURSOR_NOTIFY = 1
_ALL_PLANES = 0xFFFF_FFFF
_Z_PIXMAP = 2


class DesktopImage:
    """The screen's top left ``size`` pixels with the pointer drawn in, as ``pixels`` after each ``update``.

    All methods raise DisplayError: the server refuses something (the screen has become smaller), or, as
    DisplayLostError, has ended the connection.
    """

    def __init__(self, connection: X11Connection, size: ScreenSize) -> None:
        if not connection.setup.bgr0:
            raise DisplayError("the screen is not in true colour with 32 bits a pixel: set its depth to 24")
        self._connection = connection
        self._root = connection.setup.root
        self._size = size
        self._damage, self._region = connection.resource(), connection.resource()
        self._pointer = (0, 0)
        self._cursor_rows = NO_ROWS
        self._damaged = self._cursor_changed = True
        self._watch_changes()
        self._cursor = self._fetch_cursor()
        self._share_memory()

    def changed(self) -> bool:
        """Whether the screen or the pointer has changed since the last ``update``."""
        connection = self._connection
        reply = connection.ask(_QUERY_POINTER, 0, struct.pack("=I", self._root))
        pointer = struct.unpack_from("=16x2h", reply)
        events = connection.events()
        self._damaged |= self._damage_event in events
        if self._cursor_event in events:
            # An animated one is told of with each of its pictures, for all of which one arrow stands.
            before, self._cursor = self._cursor, self._fetch_cursor()
            self._cursor_changed |= self._cursor != before
        moved = pointer != self._pointer
        self._pointer = pointer
        return moved or self._damaged or self._cursor_changed

    def update(self, *, whole: bool) -> None:
        """Make ``pixels`` what the screen shows now.

        Args:
            whole: copy every row, whatever the server has told.
        """
        stale = self._take_damage() | self._cursor_rows
        self._copy(Rows(0, self._size.height) if whole else stale)
        self._cursor_changed = False
        self._cursor_rows = NO_ROWS
        if self._cursor is not None:
            self._cursor_rows = self._cursor.draw(self.pixels, self._size, self._pointer)

    def _watch_changes(self) -> None:
        connection = self._connection
        fixes = connection.extension("XFIXES", 2, 0)
        damage = connection.extension("DAMAGE", 1, 1)
        self._fixes, self._cursor_event = fixes.opcode, fixes.first_event + 1
        self._damages, self._damage_event = damage.opcode, damage.first_event
        connection.send(
            self._fixes, _SELECT_CURSOR_INPUT, struct.pack("=2I", self._root, _DISPLAY_CURSOR_NOTIFY)
        )
        connection.send(self._fixes, _CREATE_REGION, struct.pack("=I", self._region))
        connection.send(
            self._damages,
            _DAMAGE_CREATE,
            struct.pack("=2IB3x", self._damage, self._root, _REPORT_NON_EMPTY),
        )

    def _share_memory(self) -> None:
        self._shm = self._connection.extension("MIT-SHM", 1, 2).opcode
        self._segment = self._connection.resource()
        file = os.memfd_create("desktop-image", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(file, 4 * self._size.width * self._size.height)
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            self.pixels = mmap.mmap(file, 0)
            self._connection.send(self._shm, _SHM_ATTACH_FD, struct.pack("=IB3x", self._segment, 0), file)
        finally:
            os.close(file)

    def _take_damage(self) -> Rows:
        """The rows drawn on since this was asked last. What is drawn from here on is told anew."""
        if not self._damaged:
            return NO_ROWS
        self._damaged = False
        self._connection.send(
            self._damages, _DAMAGE_SUBTRACT, struct.pack("=3I", self._damage, 0, self._region)
        )
        reply = self._connection.ask(self._fixes, _FETCH_REGION, struct.pack("=I", self._region))
        top, height = struct.unpack_from("=10xh2xH", reply)
        return Rows(top, top + height).within(self._size.height)

    def _copy(self, rows: Rows) -> None:
        """Have the server copy these rows into the shared memory."""
        if rows.top >= rows.bottom:
            return
        width, offset = self._size.width, 4 * rows.top * self._size.width
        rectangle = struct.pack("=2h2H", 0, rows.top, width, rows.bottom - rows.top)
        self._connection.ask(
            self._shm,
            _SHM_GET_IMAGE,
            struct.pack("=I", self._root)
            + rectangle
            + struct.pack("=IB3x2I", _ALL_PLANES, _Z_PIXMAP, self._segment, offset),
        )

    def _fetch_cursor(self) -> Cursor | None:
        """The pointer's picture, if there is one. A plain arrow stands in for those that are not handed out.

        These are animated ones (their serial number is 0) and any that a program has set which then ended
        (BadAccess, the SECURITY extension's answer), as desktops' start scripts do with ``xsetroot``.
        """
        try:
            reply = self._connection.ask(self._fixes, _GET_CURSOR_IMAGE)
        except DisplayRequestError as error:
            if error.code == _BAD_CURSOR:
                return None
            if error.code == _BAD_ACCESS:
                return arrow()
            raise
        width, height, *hot, serial = struct.unpack_from("=12x4HI", reply)
        if not serial:
            return arrow()
        return Cursor(ScreenSize(width, height), (hot[0], hot[1]), reply[32:])
