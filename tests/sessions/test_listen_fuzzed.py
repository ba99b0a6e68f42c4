"""The listener before X servers that say anything: it tells of events as they are defined, or ends."""

import os
import random
import socket
import struct
import threading
from pathlib import Path

import pytest

from lucid.sessions import clipboard_watch, events
from lucid.sessions.listen import listen
from lucid.sessions.recording_errors import DisplayError
from lucid.sessions.x11_events import MOST_WAITING, EventConnection
from lucid.sessions.x11_wire import SOCKETS
from tests.sessions.test_x11_wire import HEAD, answer

EXTENSIONS = {b"XInputExtension": (131, 0), b"XKEYBOARD": (132, 85), b"XFIXES": (133, 87)}
VERSIONS = {
    (131, 47): struct.pack("=2H20x", 2, 2),
    (132, 0): struct.pack("=2H20x", 1, 0),
    (133, 0): struct.pack("=2I16x", 5, 0),
}
KINDS = (0, 2, 22, 28, 28, 31, 31, 35, 35, 35, 85, 28 | 0x80, 31 | 0x80)
WINDOWS = tuple(range(0x200000, 0x200040))


class Liar:
    """Admits one client, agrees on versions, and then answers with chance, among events by chance."""

    def __init__(self, chance: random.Random, flood: int = 0) -> None:
        self._chance = chance
        self._flood = flood
        self._atoms: dict[bytes, int] = {}
        self._asked = (0, 0, 0, 0, 0)
        self._listener = socket.socket(socket.AF_UNIX)
        self.display = 21_000
        while True:
            self.path = Path(SOCKETS, f"X{self.display}")
            try:
                self._listener.bind(str(self.path))
                break
            except OSError:
                self.display += 1
        self._listener.listen()
        self.requests = 0
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._thread.join(timeout=20)
        assert not self._thread.is_alive()
        self._listener.close()
        self.path.unlink()

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        # A listener that has nothing to ask asks once a second.
        client.settimeout(10 if self._flood else 0.25)
        with client:
            try:
                client.recv(4096)
                body = answer()
                client.sendall(HEAD[:6] + struct.pack("=H", len(body) // 4) + body)
                while self.requests < 400:
                    self._answer(client)
            except OSError:
                return

    def _answer(self, client: socket.socket) -> None:
        head = client.recv(4, socket.MSG_WAITALL)
        if len(head) < 4:
            raise ConnectionError
        opcode, minor, words = struct.unpack("=2BH", head)
        body = client.recv(4 * words - 4, socket.MSG_WAITALL) if words > 1 else b""
        self.requests += 1
        said = b"".join(self._event() for _ in range(self._chance.randrange(4)))
        said += struct.pack("=B31x", 12) * self._flood
        said += self._reply(opcode, minor, body)
        client.sendall(said)

    def _reply(self, opcode: int, minor: int, body: bytes) -> bytes:
        number = self.requests & 0xFFFF
        if opcode in {16, 98}:
            name = body[4 : 4 + struct.unpack_from("=H", body)[0]]
            found = struct.pack("=4B", 1, *EXTENSIONS.get(name, (0, 0)), 0)
            return (
                struct.pack("=BxHI", 1, number, 0)
                + (found if opcode == 98 else struct.pack("=I", self._atom(name)))
                + bytes(20)
            )
        if (opcode, minor) in VERSIONS:
            return struct.pack("=2BHI", 1, 1, number, 0) + VERSIONS[opcode, minor]
        if opcode == 24:
            self._asked = struct.unpack("=5I", body)
        if opcode in {20, 24} and self._chance.random() < 0.9:
            return self._property(number) if opcode == 20 else self._selection()
        if (opcode, minor) in {(1, 0), (19, 0), (24, 0), (131, 46), (132, 1), (133, 2)}:  # have no answer
            return b"" if self._chance.random() < 0.8 else self._error(number, opcode)
        if self._chance.random() < 0.2 and self.requests > 100:
            return self._error(number, opcode)
        words = self._chance.choice([0, 0, 1, 2, 31, 248, 1000])
        head = struct.pack("=2BHI", 1, self._chance.choice([0, 1, 7, 8, 32, 255]), number, words)
        fields = b"".join(self._word() for _ in range(6))
        return head + fields + self._chance.randbytes(4 * words)

    def _atom(self, name: bytes) -> int:
        return self._atoms.setdefault(name, 70 + len(self._atoms))

    def _selection(self) -> bytes:
        """The owner has answered; or nobody, or about another window, is said to have."""
        window, selection, target, name, _ = self._asked
        name = self._chance.choice([name, name, name, 0])
        return struct.pack("=BxH5I8x", 31, 0, 0, window, selection, target, name)

    def _property(self, number: int) -> bytes:
        """What an owner has handed over: types, a text, a piece of one, the promise of pieces."""
        text = self._chance.choice(["", "text", "tëxt\n", "\0", "\u202e", "x" * 70_000]).encode()
        if self._chance.random() < 0.4:
            text = self._chance.choice([b"\xff\xfe", struct.pack("=2I", *list(self._atoms.values())[-2:])])
        width = self._chance.choice([8, 8, 8, 0, 32])
        kind = self._atom(self._chance.choice([b"UTF8_STRING", b"INCR", b"STRING"]))
        left = self._chance.choice([0, 0, 0, 1, 2**32 - 1])
        count = self._chance.choice([len(text), len(text), len(text) // 4, 2**32 - 1])
        padded = text + bytes(-len(text) % 4)
        return struct.pack("=2BH5I8x", 1, width, number, len(padded) // 4, kind, left, count, 0)[:32] + padded

    def _error(self, number: int, opcode: int) -> bytes:
        return struct.pack("=2BHIHB21x", 0, self._chance.randrange(1, 20), number, 0, 0, opcode)

    def _event(self) -> bytes:
        kind = self._chance.choice(KINDS)
        if kind == 0:
            return self._error(self._chance.randrange(65536), 5)
        if self._chance.random() < 0.05:
            return struct.pack("=BxH3I16x", 87, 0, 0, self._chance.choice([0, 5]), self._atom(b"CLIPBOARD"))
        if kind == 28:
            name = self._atom(b"LUCID_TEXT")
            return struct.pack("=BxH3IB15x", 28, 0, self._asked[0], name, 0, self._chance.randrange(2))
        if kind == 31:
            return self._selection()
        words = self._chance.choice([0, 0, 0, 3, 100]) if kind == 35 else self._chance.randrange(2**32)
        head = struct.pack("=2BHI", kind, self._chance.choice([0, 1, 2, 131]), 0, words)
        fields = b"".join(self._word() for _ in range(6))
        if kind == 35:
            fields = struct.pack("=2H", self._chance.randrange(10, 20), 1) + fields[4:]
        return head + fields + (self._chance.randbytes(4 * words) if kind == 35 else b"")

    def _word(self) -> bytes:
        small = self._chance.randrange(300)
        chosen = self._chance.choice([0, 1, small, self._chance.choice(WINDOWS), 65536, 2**31, 2**32 - 1])
        return struct.pack("=I", chosen)


@pytest.mark.parametrize("seed", range(60))
def test_whatever_a_server_says_the_lines_are_events_and_the_listener_ends(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clipboard_watch, "SECONDS_APART", 0.0)
    liar = Liar(random.Random(seed))  # noqa: S311 - the same each time
    reading, writing = os.pipe()
    waker, wakes = os.pipe2(os.O_NONBLOCK)
    told = bytearray()

    def read() -> None:
        while data := os.read(reading, 65536):
            told.extend(data)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with (
            pytest.raises((DisplayError, struct.error)),
            EventConnection(liar.display, None) as connection,
        ):
            listen(connection, {"input", "clipboard"}, writing, waker)
    finally:
        os.close(writing)
        reader.join(timeout=10)
        liar.close()
        for descriptor in (reading, waker, wakes):
            os.close(descriptor)
    lines = [events.decode(line) for line in bytes(told).splitlines()]
    times = [line.at for line in lines]
    assert times == sorted(times)
    assert liar.requests > 20


def test_a_flood_before_an_answer_takes_no_more_memory_than_is_meant_for_it() -> None:
    liar = Liar(random.Random(0), flood=50_000)  # noqa: S311 - the same each time
    try:
        with EventConnection(liar.display, None) as connection:
            connection.ask(43, 0)
            assert connection.dropped >= 50_000 - MOST_WAITING
            assert [event.kind for event in connection.left()].count(12) == MOST_WAITING
    finally:
        liar.close()
