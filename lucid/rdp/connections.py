"""Asks the kernel for TCP connections, and is told of those that end. The messages are in `inet_diag`."""

import ctypes
import errno
import socket
import struct
from dataclasses import dataclass
from typing import Self

from lucid.kit.logs import log
from lucid.rdp import inet_diag
from lucid.rdp.inet_diag import Connection

SECONDS = 2.0
"""The kernel answers at once; a socket that waits longer is broken."""
SOCK_DIAG = 4
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_SO_ATTACH_FILTER = 26
_DATAGRAM = 64 * 1024


@dataclass(frozen=True)
class Look:
    """What was seen at one time."""

    open: tuple[Connection, ...] = ()
    closed: tuple[Connection, ...] = ()
    """Those that ended since the last look, with their last figures."""


class Connections:
    """The connections at these local ports. Raises OSError where the kernel tells nothing of them."""

    def __init__(self, ports: range) -> None:
        self._ports = ports
        self._ends = _socket()
        try:
            self._ends.setblocking(False)
            _filter(self._ends, inet_diag.port_filter(ports))
            for group in inet_diag.DESTROYED.values():
                self._ends.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
        except OSError:
            self.close()
            raise

    def look(self) -> Look:
        """All that there are, and those that have ended since the last look. Raises OSError, ValueError."""
        # In this order: what ends after it was listed is then among the ends, and never in neither.
        found = [each for family in inet_diag.FAMILIES for each in _ask(family, self._ports)]
        return Look(tuple(found), tuple(self._told()))

    def _told(self) -> list[Connection]:
        found: list[Connection] = []
        while True:
            try:
                more, _ = inet_diag.connections(self._ends.recv(_DATAGRAM))
                found += more
            except BlockingIOError:
                return found
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                # The kernel dropped some; those that had been seen count as last seen.
                log.warning("ends of connections were missed", error=str(error))

    def close(self) -> None:
        """Ends the subscription."""
        self._ends.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _socket() -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, SOCK_DIAG)
    made.bind((0, 0))
    return made


def _ask(family: int, ports: range) -> list[Connection]:
    # A socket for each question: none finds the rest of an answer to another one that failed.
    with _socket() as questions:
        questions.settimeout(SECONDS)
        questions.send(inet_diag.request(family, ports))
        found, done = [], False
        while not done:
            more, done = inet_diag.connections(questions.recv(_DATAGRAM))
            found += more
        return found


def _filter(to: socket.socket, program: bytes) -> None:
    steps = ctypes.create_string_buffer(program, len(program))
    to.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program) // 8, ctypes.addressof(steps))
    )
