"""Connections through Tor's SOCKS port, as a person's browser makes them (RFC 1928, RFC 1929)."""

import http.client
import socket
import struct
from collections.abc import Mapping
from typing import Final

NO_KEY: Final = 0xF4
"""Tor's reply, with `ExtendedErrors`, where the service is only for those who have a key."""
SECONDS: Final = 30.0


class Refused(Exception):
    """Tor made no connection; `reply` is its code."""

    def __init__(self, reply: int) -> None:
        super().__init__(f"SOCKS reply {reply:#x}")
        self.reply = reply


def connect(port: int, host: str, host_port: int, person: str) -> socket.socket:
    """A connection through Tor at `port`. Two persons never share a circuit. Raises Refused or OSError."""
    made = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
    try:
        made.sendall(b"\x05\x01\x02")
        _expect(made, b"\x05\x02")
        name = person.encode()
        made.sendall(struct.pack(f"!BB{len(name)}sB{len(name)}s", 1, len(name), name, len(name), name))
        _expect(made, b"\x01\x00")
        target = host.encode()
        made.sendall(struct.pack(f"!BBBBB{len(target)}sH", 5, 1, 0, 3, len(target), target, host_port))
        if reply := _receive(made, 4)[1]:
            raise Refused(reply)
        _receive(made, 6)  # an IPv4 address and a port that mean nothing
    except BaseException:
        made.close()
        raise
    return made


def ask(
    connection: socket.socket,
    host: str,
    method: str,
    path: str,
    *,
    body: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, bytes]:
    """One request on a connection, which may be kept: status and body of the answer."""
    speaking = http.client.HTTPConnection(host, timeout=SECONDS)
    speaking.sock = connection
    speaking.request(method, path, body, dict(headers or {}))
    answer = speaking.getresponse()
    return answer.status, answer.read()


def _expect(connection: socket.socket, wanted: bytes) -> None:
    if (got := _receive(connection, len(wanted))) != wanted:
        raise ConnectionError(f"no SOCKS5 with user and password: {got!r}")


def _receive(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        if not (piece := connection.recv(size - len(found))):
            raise ConnectionError("Tor closed the connection")
        found += piece
    return found
