"""Has an X server cut off all of its clients that the desktop's user cannot see: those of other users.

XKillClient asks for no more than a connection of one's own. Who the clients are tells X-Resource 1.2
(resource ids and process ids). Runs in a desktop, as its user.
"""

import os
import socket
import struct
from pathlib import Path

SOCKET = "/tmp/.X11-unix/X"  # noqa: S108 - where X servers put them


def cookie() -> bytes:
    """The first cookie of the user's own file."""
    data = Path(os.environ["XAUTHORITY"]).read_bytes()
    at = 2
    fields: list[bytes] = []
    for _ in range(4):
        (length,) = struct.unpack_from(">H", data, at)
        fields.append(data[at + 2 : at + 2 + length])
        at += 2 + length
    return fields[3]


def read(server: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = server.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def connect() -> socket.socket:
    server = socket.socket(socket.AF_UNIX)
    server.connect(SOCKET + os.environ["DISPLAY"].lstrip(":").partition(".")[0])
    """A connection of the user's own."""
    name, secret = b"MIT-MAGIC-COOKIE-1", cookie()
    server.send(struct.pack("<cxHHHH2x", b"l", 11, 0, len(name), len(secret)) + name + b"\0\0" + secret)
    head = read(server, 8)
    assert head[0] == 1, "refused"
    read(server, 4 * struct.unpack_from("<H", head, 6)[0])
    return server


def answer(server: socket.socket) -> bytes:
    """The next reply, errors passed over."""
    while True:
        head = read(server, 32)
        if head[0] == 1:
            return head + read(server, 4 * struct.unpack_from("<I", head, 4)[0])


def main(asked: int) -> int:
    """How many were cut off; `asked` is how many times to look for them."""
    server = connect()
    server.send(struct.pack("<BxHH2x", 98, 5, 10) + b"X-Resource\0\0")
    opcode = answer(server)[9]
    server.send(struct.pack("<BBHBB2x", opcode, 0, 2, 1, 2))
    answer(server)
    gone = 0
    for _ in range(asked):
        server.send(struct.pack("<BBHIII", opcode, 4, 4, 1, 0, 2))  # every client's process
        told = answer(server)
        (count,) = struct.unpack_from("<I", told, 8)
        at = 32
        for _ in range(count):
            client, _mask, length = struct.unpack_from("<III", told, at)
            pid = struct.unpack_from("<I", told, at + 12)[0] if length else 0
            at += 12 + length
            if not Path(f"/proc/{pid}").is_dir():
                server.send(struct.pack("<BxHI", 113, 2, client))
                gone += 1
    server.send(struct.pack("<BxH", 43, 1))
    answer(server)
    return gone
