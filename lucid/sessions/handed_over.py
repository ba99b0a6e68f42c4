"""Open files that one process hands to another over a unix socket (SCM_RIGHTS, unix(7)).

A program that looks at a display is given the connection to it and the cookie, in one message on its standard
input: so it needs neither the directory of the server's socket nor a file with the cookie in it.
"""

import array
import os
import socket

from lucid.sessions.recording_errors import RecordingError
from lucid.sessions.xauthority import COOKIE_SIZE

STANDARD_INPUT = 0


class HandingOverError(RecordingError):
    """What came over the socket is not what was to come."""


def give(connected: socket.socket, cookie: bytes | None) -> socket.socket:
    """A standard input for the program that is to `receive` these. The caller closes both sockets.

    Args:
        connected: to the display's server; nothing has been said on it.
        cookie: 16 bytes; None for a display without access control.
    """
    sending, receiving = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with sending:
        socket.send_fds(sending, [bytes([len(cookie or b"")]) + (cookie or b"")], [connected.fileno()])
    return receiving


def receive(descriptor: int = STANDARD_INPUT) -> tuple[socket.socket, bytes | None]:
    """What was given: the connection to the display's server, and its cookie. To be called once.

    Raises:
        HandingOverError: nothing, something else, or more has come.
    """
    try:
        with socket.socket(fileno=os.dup(descriptor)) as channel:
            message, files = read(channel, COOKIE_SIZE + 1, 1)
    except OSError as error:
        raise HandingOverError(f"standard input has no display: {error}") from error
    try:
        if (
            len(files) != 1
            or not message
            or message[0] not in {0, COOKIE_SIZE}
            or len(message) != 1 + message[0]
        ):
            raise HandingOverError("standard input has no display: a connection and a cookie are to come")
        connected = socket.socket(fileno=files[0])
    except BaseException as error:
        close(files)
        if isinstance(error, OSError):
            raise HandingOverError(f"what was handed over is no socket: {error}") from error
        raise
    return connected, message[1:] or None


def read(channel: socket.socket, largest: int, most_files: int) -> tuple[bytes, list[int]]:
    """The next message, and the descriptors that came with it, closed on exec. No bytes: the other has ended.

    Raises:
        HandingOverError: it has more than `largest` bytes or `most_files` descriptors.
        OSError: the connection is broken.
    """
    size = array.array("i").itemsize
    message, ancillary, flags, _ = channel.recvmsg(
        largest, socket.CMSG_LEN(most_files * size), socket.MSG_CMSG_CLOEXEC
    )
    found = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(data[: len(data) - len(data) % size])
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        close(list(found))
        raise HandingOverError(f"a message has more than {largest} bytes or {most_files} files")
    return message, list(found)


def close(files: list[int]) -> None:
    """Close descriptors that nobody wants."""
    for each in files:
        os.close(each)
