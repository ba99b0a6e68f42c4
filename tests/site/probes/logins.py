"""Tries to log in to the databases of this host, as their administrators; runs on a data host as root."""

import socket
import ssl
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure

TLS = "/etc/lucid/tls"
AUTHENTICATION_FAILED = 18


def main(asked: dict[str, str]) -> dict[str, bool]:
    """`asked` is a password by store; answers whether each is accepted."""
    return {store: {"redis": redis, "mongodb": mongodb}[store](asked[store]) for store in asked}


def redis(password: str) -> bool:
    """Redis answers AUTH with +OK or -WRONGPASS."""
    context = ssl.create_default_context(cafile=f"{TLS}/ca.crt")
    context.load_cert_chain(f"{TLS}/redis/redis.crt", f"{TLS}/redis/redis.key")
    with (
        socket.create_connection(("127.0.0.1", 6379), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(f"AUTH admin {password}\r\n".encode())
        answer = connection.recv(200).decode()
    if not answer.startswith(("+OK", "-WRONGPASS")):
        raise ValueError(answer.partition(" ")[0])
    return answer.startswith("+OK")


def mongodb(password: str) -> bool:
    """MongoDB refuses with AUTHENTICATION_FAILED."""
    client: MongoClient[dict[str, Any]] = MongoClient(
        "mongodb://localhost:27017/?directConnection=true",
        tls=True,
        tlsCAFile=f"{TLS}/ca.crt",
        tlsCertificateKeyFile=f"{TLS}/mongodb/mongodb.pem",
        username="lucid-admin",
        password=password,
        authSource="admin",
        authMechanism="SCRAM-SHA-256",
    )
    try:
        client.admin.command("ping")
    except OperationFailure as failure:
        if failure.code != AUTHENTICATION_FAILED:
            raise
        return False
    finally:
        client.close()
    return True
