"""A person at an RDP client: FreeRDP on a display of its own, a keyboard and a mouse."""

import os
import secrets
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lab.errors import LabError
from lucid.cli import desktop, rdp_client
from lucid.contracts.rdp_manager import Connection
from lucid.sessions.x11_connection import X11Connection
from lucid.sessions.xauthority import find_cookie, parse, write_cookie

SCREEN = "1400x900"
SECONDS = 20
TURN_SECONDS = 0.02
GET_IMAGE, Z_PIXMAP = 73, 2  # X11 protocol, requests and image formats


class Person:
    """Sits before a display; what is typed goes into the RDP client that is on it."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        """Of the programs on that display."""

    def type(self, text: str) -> None:
        """Key by key, ten times as fast as a fast typist; line breaks as the key Return."""
        for i, line in enumerate(text.split("\n")):
            if i:
                self.press("Return")
            if line:
                self._run("xdotool", "type", "--delay", "10", line)

    def press(self, key: str) -> None:
        """One key, e.g. `Return`."""
        self._run("xdotool", "key", key)

    def click(self, x: int, y: int) -> None:
        """The first button, there."""
        self._run("xdotool", "mousemove", str(x), str(y), "click", "1")

    def draw_to(self, width: int, height: int) -> None:
        """Gives the RDP client's window another size, in pixels."""
        window = ("search", "--onlyvisible", "--class", "xfreerdp", "windowsize", str(width), str(height))
        self._run("xdotool", *window)

    def copy(self, text: str) -> None:
        """Puts a text into the clipboard of the person's own machine."""
        # xclip stays behind to hand the text out; its output must not keep anybody waiting.
        command = ["xclip", "-selection", "clipboard", "-in"]
        subprocess.run(
            command,
            input=text.encode(),
            env=self.environment,
            check=True,
            timeout=SECONDS,
            stdout=subprocess.DEVNULL,
        )

    def pasted(self) -> str:
        """What is in that clipboard; empty if nothing is."""
        command = ["xclip", "-selection", "clipboard", "-out"]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, timeout=SECONDS, check=False
        )
        return done.stdout.decode(errors="replace")

    def look(self, path: Path) -> None:
        """A picture of what is to be seen, as PNG."""
        source = ("-f", "x11grab", "-i", self.environment["DISPLAY"])
        self._run("ffmpeg", "-nostdin", "-loglevel", "error", "-y", *source, "-frames:v", "1", str(path))

    def wait_for(self, colour: tuple[int, int, int], x: int, y: int) -> None:
        """Returns once that colour (red, green, blue) is to be seen there. Raises LabError."""
        until = time.monotonic() + SECONDS
        while (seen := self._sees(x, y)) != colour:
            if time.monotonic() > until:
                raise LabError(f"after {SECONDS} s the screen shows {seen} at {x}, {y}, not {colour}")
            time.sleep(TURN_SECONDS)

    def _sees(self, x: int, y: int) -> tuple[int, int, int]:
        number = int(self.environment["DISPLAY"].removeprefix(":"))
        cookie = find_cookie(parse(Path(self.environment["XAUTHORITY"]).read_bytes()), number)
        with X11Connection(number, cookie) as display:
            root = display.setup.root
            answer = display.ask(GET_IMAGE, Z_PIXMAP, struct.pack("=I2h2HI", root, x, y, 1, 1, 0xFFFFFF))
        blue, green, red = answer[32:35]
        return red, green, blue

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        if done.returncode:
            raise LabError(f"{command[0]}: {done.stderr.strip() or f'status {done.returncode}'}")


@contextmanager
def seated(size: str = SCREEN) -> Iterator[Person]:
    """A person at a display without anything on it. Raises Failure if it does not start."""
    # Far from what servers pick, which do not see those of other network namespaces and take their sockets.
    number = 1000 + secrets.randbelow(20_000)
    with (
        desktop.started(["sleep", "infinity"], size, number) as screen,
        tempfile.TemporaryDirectory() as scratch,
    ):
        xauthority = Path(scratch) / "xauthority"
        write_cookie(xauthority, screen.number, screen.cookie)
        yield Person(os.environ | {"DISPLAY": screen.name, "XAUTHORITY": str(xauthority), "HOME": scratch})


@contextmanager
def connected(
    person: Person,
    connection: Connection,
    *,
    within: Sequence[str] = (),
    password: str | None = None,
    options: Sequence[str] = (),
) -> Iterator["subprocess.Popen[bytes]"]:
    """The person's RDP client, from its start to its end. `within` leads to another network.

    `password` is another one than the connection's; `options` are further ones of FreeRDP's, which go before
    those that the connection asks for.
    """
    program = rdp_client.find(person.environment)
    if program is None:
        raise LabError("there is no FreeRDP here; scripts/setup lab installs it")
    command = [*within, *rdp_client.command(program, connection), *options]
    with tempfile.TemporaryFile() as words:
        client = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=words, stderr=subprocess.STDOUT, env=person.environment
        )
        assert client.stdin is not None  # noqa: S101 - tells mypy what PIPE means
        client.stdin.write((password or connection.password).encode() + b"\n")
        client.stdin.close()
        try:
            yield client
        except Exception as error:
            status = client.poll()
            words.seek(0)
            error.add_note(
                f"the RDP client (status {status}): {words.read()[-2000:].decode(errors='replace')}"
            )
            raise
        finally:
            client.terminate()
            try:
                client.wait(timeout=SECONDS)
            except subprocess.TimeoutExpired:
                client.kill()
                client.wait()


def eventually(what: str, seconds: float, seen: Callable[[], bool]) -> float:
    """Waits until it is seen; returns how long that took. Raises LabError."""
    begin = time.monotonic()
    while not seen():
        if time.monotonic() - begin > seconds:
            raise LabError(f"{what}: not within {seconds:g} s")
        time.sleep(0.05)
    return time.monotonic() - begin
