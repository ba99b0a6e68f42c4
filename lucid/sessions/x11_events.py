"""A connection to an X server whose events matter: each is kept, with when it came, until it is taken.

Unlike a plain connection's, its answers are told apart by their numbers. Anybody in the session may destroy
a window that was made here, so a request without an answer may fail at any time; what comes of it must not be
taken for the answer to the next question. And anybody may have the server deliver made-up events to it
(SendEvent): those are not taken, but for the one kind that is meant to come from programs.
"""

import contextlib
import select
import socket
import struct
import time
from collections import Counter, deque
from collections.abc import Iterator
from typing import NamedTuple

from lucid.sessions import x11_wire as wire
from lucid.sessions.recording_errors import DisplayError
from lucid.sessions.x11_connection import DisplayRequestError, X11Connection, refusal

SELECTION_NOTIFY = 31
"""How a clipboard's owner answers: by an event that it has the server deliver."""

MOST_WAITING = 2_500
"""Events of one kind kept while a question waits for its answer; further ones are counted and dropped.

Of one kind, so that a program that makes many of another does not crowd out what is typed.
"""
AT_ONCE = 1_000
"""Messages taken in before the listener looks at its other work."""
SECONDS_TO_GO_ON = 10
"""How long the server may be silent in the middle of a message."""


class Event(NamedTuple):
    """The first 32 bytes of a message. ``time`` is when it was read, in seconds of the monotonic clock."""

    time: float
    message: bytes

    @property
    def kind(self) -> int:
        """The event's number, whether the server made it up or a client had it sent."""
        return self.message[0] & 0x7F


class EventConnection(X11Connection):
    """Connected and admitted. ``dropped`` counts events that there was no room for."""

    def __init__(self, display: int, cookie: bytes | None, connected: socket.socket | None = None) -> None:
        """As X11Connection."""
        self.dropped = 0
        self._sent = 0
        self._waiting = deque[Event]()
        self._kinds = Counter[int]()
        """How many of each kind are waiting."""
        super().__init__(display, cookie, connected)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", SECONDS_TO_GO_ON, 0))

    def send(self, opcode: int, minor: int, body: bytes = b"", file: int | None = None) -> None:
        """A request without an answer; whether it failed is not told. Raises DisplayLostError."""
        self._sent = (self._sent + 1) & 0xFFFF
        super().send(opcode, minor, body, file)

    def ask(self, opcode: int, minor: int, body: bytes = b"") -> bytes:
        """A request with an answer, which is returned whole.

        Raises:
            DisplayRequestError: the server refuses this request.
            DisplayLostError: the server has ended the connection, or stopped in the middle of a message.
        """
        self.send(opcode, minor, body)
        while True:
            message = self._message()
            kind = message[0] & 0x7F
            mine = struct.unpack_from("=2xH", message)[0] == self._sent
            if kind == wire.ERROR and mine:
                raise refusal(message)
            if kind == wire.REPLY and mine:
                return message
            self._keep(message)

    def try_to_ask(self, opcode: int, minor: int, body: bytes = b"") -> bytes | None:
        """As ``ask``; None where the server refuses."""
        try:
            return self.ask(opcode, minor, body)
        except DisplayRequestError:
            return None

    def wait(self, seconds: float, waker: int) -> None:
        """Wait until there is an event, the file descriptor `waker` can be read, or the time is over."""
        if not self._waiting:
            select.select([self._socket.fileno(), waker], [], [], max(0.0, seconds))

    def take(self) -> Iterator[Event]:
        """The events that have come until now, oldest first. Does not wait."""
        for _ in range(AT_ONCE):
            if not select.select([self._socket], [], [], 0)[0]:
                break
            self._keep(self._message())
        yield from self.left()

    def left(self) -> Iterator[Event]:
        """Those of them that have been read already."""
        for _ in range(len(self._waiting)):
            event = self._waiting.popleft()
            self._kinds[event.kind] -= 1
            yield event

    def rest(self) -> Iterator[Event]:
        """All that the server had told before it ended the connection."""
        with contextlib.suppress(DisplayError):
            for _ in range(MOST_WAITING):
                self._keep(self._message())
        yield from self.left()

    def _keep(self, message: bytes) -> None:
        kind, made_up = message[0] & 0x7F, message[0] & 0x80
        if kind in {wire.ERROR, wire.REPLY}:
            return  # of a request that nobody waits for any more
        if made_up and kind != SELECTION_NOTIFY:
            return
        if self._kinds[kind] >= MOST_WAITING:
            self.dropped += 1
        else:
            self._kinds[kind] += 1
            self._waiting.append(Event(time.monotonic(), message[: wire.MESSAGE_SIZE]))
