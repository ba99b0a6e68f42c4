"""The kernel's messages about TCP connections (sock_diag(7)): requests out, bytes of connections in. Pure.

Nobody needs a privilege to ask. Malformed answers raise ValueError.
"""

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

FAMILIES = (socket.AF_INET, socket.AF_INET6)
DESTROYED = {socket.AF_INET: 1, socket.AF_INET6: 3}
"""Multicast groups (SKNLGRP_INET*_TCP_DESTROY) that are told of each connection when it is gone."""

_DONE, _ERROR, _DIAG = 3, 2, 20
_REQUEST_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_BYTECODE, _INFO = 1, 2
_AT_LEAST, _AT_MOST = 2, 3  # INET_DIAG_BC_S_GE, INET_DIAG_BC_S_LE
_LISTENING, _TIME_WAIT, _NEW = 10, 6, 3
_STATES = 0xFFF & ~(1 << _LISTENING | 1 << _TIME_WAIT | 1 << _NEW)
"""The states that have counters: not those of listeners, nor of what is left of a connection."""

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_REQUEST = struct.Struct("=BBBxI48x")  # family, protocol, wanted attributes, states, an empty socket id
_COMPARISON = struct.Struct("=BBHBBH")  # code, offset where it holds, where not; and a place for the port
_MESSAGE = struct.Struct("=BBBB")  # family, state, timer, retransmissions
_MESSAGE_SIZE = 72
_ATTRIBUTE = struct.Struct("=HH")
_BYTES = struct.Struct("=QQ")  # tcpi_bytes_acked, tcpi_bytes_received
_BYTES_AT = 120


@dataclass(frozen=True)
class Connection:
    """A TCP connection. SYN and FIN may count as a byte each, as in sequence numbers."""

    cookie: int
    """The kernel's own name for it; never given a second time."""
    port: int
    """The local one."""
    received: int
    sent: int
    """What the other side has acknowledged."""


def request(family: int, ports: range) -> bytes:
    """Asks for all connections of a family whose local port is one of these."""
    code = _COMPARISON.pack(_AT_LEAST, 8, 20, 0, 0, ports[0]) + _COMPARISON.pack(
        _AT_MOST, 8, 12, 0, 0, ports[-1]
    )
    attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(code), _BYTECODE) + code
    body = _REQUEST.pack(family, socket.IPPROTO_TCP, 1 << (_INFO - 1), _STATES) + attribute
    return _HEADER.pack(_HEADER.size + len(body), _DIAG, _REQUEST_DUMP, 1, 0) + body


def port_filter(ports: range) -> bytes:
    """A program (BPF) that lets a socket receive only messages about connections at these ports.

    Others, of which a host has many, would fill its buffer before anybody reads it.
    """
    port_at = _HEADER.size + 4
    program = (
        (0x28, 0, 0, port_at),  # load the local port
        (0x35, 0, 2, ports[0]),  # less than the first: to the end
        (0x25, 1, 0, ports[-1]),  # more than the last: to the end
        (0x06, 0, 0, 0xFFFFFFFF),  # let it in
        (0x06, 0, 0, 0),
    )
    return b"".join(struct.pack("=HBBI", *step) for step in program)


def connections(data: bytes) -> tuple[list[Connection], bool]:
    """The connections in one datagram, and whether it ends the answer.

    Raises OSError where the kernel says so, ValueError for a datagram that is cut or malformed.
    """
    found: list[Connection] = []
    for kind, body in _messages(data):
        if kind == _DONE:
            return found, True
        if kind == _ERROR:
            if len(body) < 4:
                raise ValueError("an error message without its error")
            (code,) = struct.unpack_from("=i", body)
            raise OSError(-code, "sock_diag refuses")
        if kind == _DIAG and (connection := _connection(body)) is not None:
            found.append(connection)
    return found, False


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        if len(data) - at < _HEADER.size:
            raise ValueError("a message shorter than its header")
        length, kind, *_ = _HEADER.unpack_from(data, at)
        if not _HEADER.size <= length <= len(data) - at:
            raise ValueError(f"a message of {length} bytes, of which {len(data) - at} are there")
        yield kind, data[at + _HEADER.size : at + length]
        at += (length + 3) & ~3


def _connection(body: bytes) -> Connection | None:
    """None for a socket that has no counters, such as one that never connected."""
    if len(body) < _MESSAGE_SIZE:
        raise ValueError("a connection shorter than inet_diag_msg")
    (port,) = struct.unpack_from("!H", body, _MESSAGE.size)
    (cookie,) = struct.unpack_from("=Q", body, 44)
    info = _attribute(body[_MESSAGE_SIZE:], _INFO)
    if info is None or len(info) < _BYTES_AT + _BYTES.size:
        return None  # no counters: none kept, or a kernel before 4.1
    sent, received = _BYTES.unpack_from(info, _BYTES_AT)
    return Connection(cookie, port, received, sent)


def _attribute(data: bytes, wanted: int) -> bytes | None:
    at = 0
    while at < len(data):
        if len(data) - at < _ATTRIBUTE.size:
            raise ValueError("an attribute shorter than its header")
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if not _ATTRIBUTE.size <= length <= len(data) - at:
            raise ValueError(f"an attribute of {length} bytes, of which {len(data) - at} are there")
        if kind == wanted:
            return data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
    return None
