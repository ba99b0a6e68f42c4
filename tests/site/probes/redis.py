"""What Redis and Sentinel answer to commands, over TLS; runs on their host."""

import os
import socket
import ssl
from typing import Any


def main(asked: dict[str, Any]) -> list[list[str]]:
    """`asked`: ca, identity, conversations (port and commands). First words of the answer to each command."""
    context = ssl.create_default_context(cadata=asked["ca"])
    parts = [os.memfd_create("pem") for _ in asked["identity"]]
    for part, text in zip(parts, asked["identity"], strict=True):
        os.write(part, text.encode())
    context.load_cert_chain(*(f"/proc/self/fd/{part}" for part in parts))
    return [_talk(context, port, commands) for port, commands in asked["conversations"]]


def _talk(context: ssl.SSLContext, port: int, commands: list[str]) -> list[str]:
    plain = socket.create_connection(("localhost", port), 5)
    with context.wrap_socket(plain, server_hostname="redis.lucid.internal") as connection:
        answers = []
        for command in commands:
            connection.sendall(f"{command}\r\n".encode())
            line = connection.recv(65536).decode().splitlines()[0]
            answers.append(line.split()[0])
        return answers
