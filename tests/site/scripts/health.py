"""Runs on a host: what its services say of themselves to the host's own probe.

Arguments NAME:PORT for sockets with TLS, NAME:PORT:plain for others; prints a JSON object by NAME, each value
"healthy" or what is wrong.
"""

import json
import socket
import ssl
import sys

PROBE = "/etc/lucid/tls/lucid-probe"
SECONDS = 5


def ask(name: str, port: int, context: "ssl.SSLContext | None") -> str:
    """The status in the answer to GET /health, with what is down."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
    if context is not None:
        connection = context.wrap_socket(connection, server_hostname=f"{name}.lucid.internal")
    with connection:
        connection.sendall(b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    found = json.loads(answer.partition(b"\r\n\r\n")[2])
    wrong = [f"{key}: {check['error']}" for key, check in found["dependencies"].items() if check["error"]]
    wrong += [f"{key}: {error}" for key, error in found["failing_tasks"].items()]
    return "; ".join([found["status"], *wrong])


def main() -> None:
    """Asks one after the other."""
    context = ssl.create_default_context(cafile=f"{PROBE}/ca.crt")
    context.load_cert_chain(f"{PROBE}/lucid-probe.crt", f"{PROBE}/lucid-probe.key")
    said = {}
    for argument in sys.argv[1:]:
        name, port, *plain = argument.split(":")
        try:
            said[name] = ask(name, int(port), None if plain else context)
        except (OSError, ValueError, KeyError) as error:
            said[name] = f"{type(error).__name__}: {error}"
    print(json.dumps(said))  # noqa: T201 - its answer


main()
