"""Real X servers for tests."""

import os
import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lucid.sessions import handed_over
from lucid.sessions.x11_wire import SOCKETS
from lucid.sessions.xauthority import write_cookie


@dataclass
class Screen:
    """A running Xvfb that admits nobody without its cookie."""

    server: subprocess.Popen[bytes]
    number: int
    xauthority: Path
    cookie: bytes = field(repr=False)

    def run(self, *command: str) -> None:
        subprocess.run(command, env=self.environment(), check=True, timeout=20)

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """A program on this screen, in a process group of its own."""
        return subprocess.Popen(command, env=self.environment(), start_new_session=True)

    def handed_over(self) -> socket.socket:
        """The standard input of a program that looks at it: a connection to it, and its cookie."""
        with socket.socket(socket.AF_UNIX) as connected:
            connected.connect(f"{SOCKETS}/X{self.number}")
            return handed_over.give(connected, self.cookie)

    def environment(self) -> dict[str, str]:
        return {**os.environ, "DISPLAY": f":{self.number}", "XAUTHORITY": str(self.xauthority)}


@contextmanager
def screens(directory: Path) -> Iterator["StartScreen"]:
    """A function that starts an X server of a size such as 640x480; all end with the context."""
    starter = StartScreen(directory)
    try:
        yield starter
    finally:
        for server in starter.servers:
            server.terminate()
            server.wait(timeout=10)


class StartScreen:
    """Starts X servers whose files are in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.servers: list[subprocess.Popen[bytes]] = []

    def __call__(self, size: str, depth: int = 24, *more: str) -> Screen:
        """An X server with a screen of this size and colour depth in bits. ``more`` are further options."""
        xauthority, cookie = (
            self.directory / f"server-xauthority-{len(self.servers)}",
            secrets.token_bytes(16),
        )
        write_cookie(xauthority, 0, cookie)  # the server takes any entry's cookie
        reading, writing = os.pipe()
        options = ["-screen", "0", f"{size}x{depth}", "-nolisten", "tcp", "-noreset", *more]
        options += ["-auth", str(xauthority)]
        with os.fdopen(reading) as numbers:
            server = subprocess.Popen(
                ["Xvfb", "-displayfd", str(writing), *options], pass_fds=[writing], stderr=subprocess.DEVNULL
            )
            self.servers.append(server)
            os.close(writing)
            number = int(numbers.readline())
        write_cookie(xauthority, number, cookie)
        return Screen(server, number, xauthority, cookie)
