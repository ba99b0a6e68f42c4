"""A connection to a server that means harm: the session's user may own it."""

import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lucid.sessions.recording_errors import DisplayError
from lucid.sessions.x11_connection import LARGEST_ANSWER, DisplayLostError, DisplayRequestError, X11Connection
from lucid.sessions.x11_wire import SOCKETS
from tests.sessions.test_x11_wire import HEAD, answer


class Server:
    """Admits one client, sends it whatever it is told to after its first request, and hangs up."""

    def __init__(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self.display = 20_000
        while True:
            self.path = Path(SOCKETS, f"X{self.display}")
            try:
                self._listener.bind(str(self.path))
                break
            except OSError:
                self.display += 1
        self._listener.listen()
        self.says = b""
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        with client:
            client.recv(4096)
            body = answer()
            client.sendall(HEAD[:6] + struct.pack("=H", len(body) // 4) + body)
            client.recv(4096)
            client.sendall(self.says)

    def close(self) -> None:
        self._thread.join(timeout=10)
        self._listener.close()
        self.path.unlink()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def reply(words: int, data: bytes = b"") -> bytes:
    return struct.pack("=BxHI24x", 1, 1, words) + data


@pytest.mark.parametrize(
    ("says", "error", "words"),
    [
        (reply(LARGEST_ANSWER // 4 + 1), DisplayError, f"at most {LARGEST_ANSWER} are taken"),
        (reply(2**32 - 1), DisplayError, "answers with 17179869180 bytes"),
        (reply(8, b"short"), DisplayLostError, "has ended the connection"),
        (b"", DisplayLostError, "has ended the connection"),
        (struct.pack("=2BHIHB21x", 0, 8, 1, 0, 4, 130), DisplayRequestError, "request 130.4 with X error 8"),
    ],
)
def test_an_answer_that_cannot_be_taken_is_an_error_of_its_own(
    server: Server, says: bytes, error: type[DisplayError], words: str
) -> None:
    server.says = says
    with X11Connection(server.display, None) as connection, pytest.raises(error, match=words) as raised:
        connection.ask(43, 0)
    assert type(raised.value) is error


def test_a_flood_of_events_before_the_answer_takes_no_memory(server: Server) -> None:
    server.says = struct.pack("=B31x", 12) * 50_000 + reply(0)
    with X11Connection(server.display, None) as connection:
        connection.ask(43, 0)
        assert connection.events() == {12}
        assert connection.events() == set()


def test_ids_are_given_out_once(server: Server) -> None:
    server.says = reply(0)
    with X11Connection(server.display, None) as connection:
        connection.ask(43, 0)
        assert [connection.resource() for _ in range(3)] == [0x200000, 0x200001, 0x200002]
