"""In place of systemd's socket unit: accepts connections, and starts a capture host for each."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COMMAND = [sys.executable, "-P", "-m", "lucid.sessions.capture_host"]


@contextmanager
def accepting(path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The hosts that were started. All have ended by themselves when their connections have."""
    hosts: list[subprocess.Popen[bytes]] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=_accept, args=(listener, hosts))
        thread.start()
        yield hosts
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=10)
        for host in hosts:
            host.wait(timeout=10)


def _accept(listener: socket.socket, hosts: list[subprocess.Popen[bytes]]) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            hosts.append(subprocess.Popen(COMMAND, stdin=connection.fileno()))
