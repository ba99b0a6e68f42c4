"""Shows certificates to the servers of a host, and tells how each was received."""

import os
import socket
import ssl
from contextlib import suppress
from typing import Any

SECONDS = 10.0
SILENT = 1.0
"""How long a server may take to refuse one who has nothing to say."""


def main(asked: dict[str, Any]) -> list[Any]:
    """`asked`: ca, attempts (address, port, server, identity, paths). Of each attempt its paths' statuses.

    Without paths nothing is said, and the answer is [] if the connection stays. Where the certificate is not
    accepted the answer is the reason: an alert, or a reset that has overtaken it.
    """
    return [_attempt(asked["ca"], each) for each in asked["attempts"]]


def _attempt(ca: str, each: dict[str, Any]) -> list[int] | str:
    try:
        with _connected(ca, each) as connection:
            if not each["paths"]:
                _listen(connection)
            return [_ask(connection, path) for path in each["paths"]]
    except OSError as error:
        return getattr(error, "reason", None) or type(error).__name__


def _connected(ca: str, each: dict[str, Any]) -> ssl.SSLSocket:
    context = ssl.create_default_context(cadata=ca)
    if each["identity"] is not None:
        # Files of this process's memory: keys are not written to the host's disk.
        parts = [os.memfd_create("pem") for _ in each["identity"]]
        for part, text in zip(parts, each["identity"], strict=True):
            os.write(part, text.encode())
        context.load_cert_chain(*(f"/proc/self/fd/{part}" for part in parts))
        for part in parts:
            os.close(part)
    plain = socket.create_connection((each["address"], each["port"]), SECONDS)
    return context.wrap_socket(plain, server_hostname=each["server"])


def _ask(connection: ssl.SSLSocket, path: str) -> int:
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: lucid\r\n\r\n".encode())
    head, _, body = _until(connection, b"", b"\r\n\r\n").partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
    length = int(fields[b"content-length"])
    while len(body) < length:
        body += _some(connection)
    return int(head.split()[1])


def _until(connection: ssl.SSLSocket, found: bytes, end: bytes) -> bytes:
    while end not in found:
        found += _some(connection)
    return found


def _some(connection: ssl.SSLSocket) -> bytes:
    part = connection.recv(65536)
    if not part:
        raise ConnectionResetError
    return part


def _listen(connection: ssl.SSLSocket) -> None:
    """With TLS 1.3 a server refuses a certificate when the client believes the handshake to be over."""
    connection.settimeout(SILENT)
    with suppress(TimeoutError):
        _some(connection)
