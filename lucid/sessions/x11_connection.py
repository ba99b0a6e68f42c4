"""A blocking connection to an X server, for a process that does nothing else.

One request at a time is waited for, so an answer always belongs to the last request; events that come in
between are kept. Source: X Window System Protocol, version 11, appendix B.
"""

import itertools
import socket
import struct
from types import TracebackType
from typing import NamedTuple, Self

from lucid.sessions import x11_wire as wire
from lucid.sessions.recording_errors import DisplayError

LARGEST_ANSWER = 16 * 1024 * 1024
"""Bytes: a cursor of 2048x2048 pixels. The server may belong to whom it shows: it must not fill ours."""


class DisplayLostError(DisplayError):
    """The server has ended a connection that it had admitted."""


class DisplayRequestError(DisplayError):
    """The server answered with an X error. ``code`` is the protocol's, 3 is BadWindow, 8 is BadMatch."""

    def __init__(self, code: int, opcode: int, minor: int) -> None:
        super().__init__(f"the display answers request {opcode}.{minor} with X error {code}")
        self.code = code


class Extension(NamedTuple):
    """Where the server has put an extension's requests and events."""

    opcode: int
    first_event: int


class X11Connection:
    """Connected and admitted; a context manager that disconnects. ``setup`` describes the first screen."""

    def __init__(self, display: int, cookie: bytes | None, connected: socket.socket | None = None) -> None:
        """Raises DisplayError: nobody listens, or it refuses.

        Args:
            connected: to the server, as it was handed over; None: connect to the display's usual socket.
        """
        self._socket = connected or socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            if connected is None:
                self._socket.connect(f"{wire.SOCKETS}/X{display}")
            self._socket.sendall(wire.setup_request(cookie))
            head = self._read(8)
            self.setup = wire.read_setup(display, head, self._read(wire.setup_answer_size(head)))
        except BaseException as error:
            self._socket.close()
            if isinstance(error, (OSError, struct.error)):
                raise DisplayError(f"display :{display} cannot be reached: {error}") from error
            raise
        self._events: set[int] = set()
        self._resources = itertools.count(self.setup.resources)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def resource(self) -> int:
        """An id for something new on the server."""
        return next(self._resources)

    def extension(self, name: str, major: int, minor: int) -> Extension:
        """Find an extension and agree on its version, as each wants it before any other request.

        Raises:
            DisplayError: the server does not have it, or only an older version.
        """
        found = self.find(name)
        if name == "MIT-SHM":
            has = struct.unpack_from("=8x2H", self.ask(found.opcode, 0))
        else:
            has = struct.unpack_from("=8x2I", self.ask(found.opcode, 0, struct.pack("=2I", major, minor)))
        if has < (major, minor):
            raise DisplayError(f"the X server has {name} {has[0]}.{has[1]}: {major}.{minor} is needed")
        return found

    def find(self, name: str) -> Extension:
        """Find an extension whose version is agreed on in a way of its own. Raises DisplayError: it lacks."""
        asked = name.encode()
        present, opcode, first_event = struct.unpack_from(
            "=8x3B", self.ask(98, 0, struct.pack("=H2x", len(asked)) + wire.padded(asked))
        )
        if not present:
            raise DisplayError(f"the X server lacks the extension {name}, which recording needs: enable it")
        return Extension(opcode, first_event)

    def send(self, opcode: int, minor: int, body: bytes = b"", file: int | None = None) -> None:
        """A request without an answer. A failure is told by the next ``ask``. Raises DisplayLostError.

        Args:
            file: a descriptor to hand over with it.
        """
        message = struct.pack("=2BH", opcode, minor, 1 + len(body) // 4) + body
        try:
            if file is None:
                self._socket.sendall(message)
            else:
                socket.send_fds(self._socket, [message], [file])
        except OSError as error:
            raise DisplayLostError(f"the connection to the X server has ended: {error}") from error

    def ask(self, opcode: int, minor: int, body: bytes = b"") -> bytes:
        """A request with an answer, which is returned whole.

        Raises:
            DisplayRequestError: the server refuses this request, or one sent before.
            DisplayLostError: the server has ended the connection.
        """
        self.send(opcode, minor, body)
        while True:
            message = self._message()
            kind = message[0] & 0x7F
            if kind == wire.ERROR:
                raise refusal(message)
            if kind == wire.REPLY:
                return message
            self._events.add(kind)

    def events(self) -> set[int]:
        """Which kinds of events have come with the answers since the last call."""
        events, self._events = self._events, set()
        return events

    def _message(self) -> bytes:
        """The next answer, event or error, whole."""
        message = self._read(wire.MESSAGE_SIZE)
        if message[0] & 0x7F in {wire.REPLY, wire.GENERIC_EVENT}:
            message += self._read(_size_of_rest(message))
        return message

    def _read(self, size: int) -> bytes:
        data = b""
        if size:
            try:
                data = self._socket.recv(size, socket.MSG_WAITALL)
            except OSError as error:
                raise DisplayLostError(f"the connection to the X server has ended: {error}") from error
            if len(data) < size:
                raise DisplayLostError("the X server has ended the connection")
        return data


def refusal(message: bytes) -> DisplayRequestError:
    """The error that an X server has answered with."""
    code, minor, opcode = struct.unpack_from("=xB6xHB", message)
    return DisplayRequestError(code, opcode, minor)


def _size_of_rest(answer: bytes) -> int:
    (words,) = struct.unpack_from("=I", answer, 4)
    size = 4 * int(words)
    if size > LARGEST_ANSWER:
        raise DisplayError(f"the X server answers with {size} bytes: at most {LARGEST_ANSWER} are taken")
    return size
