"""Reads what is put into an X display's clipboard, for the listener.

The X server tells who owns the selection CLIPBOARD now; what it holds has to be asked of that owner
(Inter-Client Communication Conventions, section 2), which is any program of the session: it may never
answer, answer without end, or have somebody else answer. So one text is read at a time, through a window of
its own; every step is an event among the others, nothing waits for it, and five seconds end it.

An owner that hands over in pieces gets to hand over all of them, though few are kept: some programs end when
nobody takes what they give, and a listener must not change what happens in the session.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lucid.sessions.x11_connection import Extension
from lucid.sessions.x11_events import SELECTION_NOTIFY, Event, EventConnection

LARGEST_TEXT = 64 * 1024
"""Bytes of a text that are kept."""
MOST_TYPES = 64
"""Types of a content that are named."""
SECONDS_TO_ANSWER = 5.0
SECONDS_APART = 0.5
"""Between two readings: of what is replaced sooner, only that it was there is kept."""

_PROPERTY_NOTIFY = 28
_NEW_VALUE = 0
_PROPERTY_CHANGE_MASK = 0x400000
_ANY_OWNER_CHANGE = 0b111
_WINDOWS = 64
"""They are used in turn and never destroyed here, so that an answer that comes late finds its own."""
_NAMES_REMEMBERED = 1000
_LONGEST_NAME = 100

Report = Callable[[dict[str, Any]], None]


@dataclass
class _Reading:
    """One content on its way. ``window`` is for its owner's answers; ``step`` is the type asked for."""

    window: int
    begun: float
    said: dict[str, Any]
    step: str = "TARGETS"
    encoding: str = "utf-8"
    incremental: bool = False
    data: bytearray = field(default_factory=bytearray)


class ClipboardWatch:
    """Tells `report` of every new content: who put it there, its types, its text or why that is not kept."""

    def __init__(self, connection: EventConnection, report: Report) -> None:
        """Raises DisplayError: the server lacks XFIXES."""
        self._connection = connection
        self._report = report
        self._fixes: Extension = connection.extension("XFIXES", 2, 0)
        self._atoms = {
            name: self._intern(name)
            for name in ("CLIPBOARD", "TARGETS", "UTF8_STRING", "STRING", "INCR", "LUCID_TYPES", "LUCID_TEXT")
        }
        self._windows = [connection.resource() for _ in range(_WINDOWS)]
        for window in self._windows:
            self._make(window)
        self._readings = 0
        self._names: dict[int, str] = {}
        self._reading: _Reading | None = None
        self._next: tuple[float, int] | None = None
        """When to read what this window owns."""
        self._not_before = 0.0
        body = struct.pack("=3I", connection.setup.root, self._atoms["CLIPBOARD"], _ANY_OWNER_CHANGE)
        connection.send(self._fixes.opcode, 2, body)

    def begin(self, now: float) -> None:
        """Reads what is there already."""
        answer = self._connection.try_to_ask(23, 0, struct.pack("=I", self._atoms["CLIPBOARD"]))
        if answer is not None and (owner := struct.unpack_from("=I", answer, 8)[0]):
            self._owned(owner, now)

    def due(self) -> float | None:
        """When `tick` has something to do, by the clock of the events; None if it has nothing."""
        times = [self._next[0]] if self._next else []
        if self._reading:
            times.append(self._reading.begun + SECONDS_TO_ANSWER)
        return min(times, default=None)

    def take(self, event: Event) -> None:
        """An event, perhaps none of the clipboard's."""
        if event.kind == self._fixes.first_event:
            owner, selection = struct.unpack_from("=2I", event.message, 8)
            if selection == self._atoms["CLIPBOARD"]:
                self._owned(owner, event.time)
        elif event.kind == SELECTION_NOTIFY:
            window, _, _, answered = struct.unpack_from("=4I", event.message, 8)
            if self._reading and window == self._reading.window and not self._reading.incremental:
                self._answered(bool(answered))
            elif window in self._windows:  # too late; its owner may have more pieces to give
                self._delete(window)
        elif event.kind == _PROPERTY_NOTIFY and event.message[16] == _NEW_VALUE:
            window, name = struct.unpack_from("=2I", event.message, 4)
            if name == self._atoms["LUCID_TEXT"] and window in self._windows:
                if self._reading is None or window != self._reading.window:
                    self._delete(window)
                elif self._reading.incremental:
                    self._piece()

    def tick(self, now: float, *, last: bool = False) -> None:
        """Gives up what takes too long, and reads what had to wait; the last time, it gives up all."""
        if last:
            self._give_up("the recording ended")
            return
        if self._reading and now >= self._reading.begun + SECONDS_TO_ANSWER:
            self._finish(not_kept="its owner did not answer in time")
        if self._next and now >= self._next[0]:
            owner, self._next = self._next[1], None
            self._read(owner, now)

    def _give_up(self, why: str) -> None:
        if self._reading:
            self._finish(not_kept=why)
        if self._next:
            source, self._next = self._source(self._next[1]), None
            self._report({"from": source, "types": [], "not_kept": why})

    def _owned(self, owner: int, now: float) -> None:
        self._give_up("replaced before it was read")
        if not owner:
            self._report({"from": "nobody", "types": []})
        elif now < self._not_before:
            self._next = (self._not_before, owner)
        else:
            self._read(owner, now)

    def _read(self, owner: int, now: float) -> None:
        self._not_before = now + SECONDS_APART
        window = self._windows[self._readings % _WINDOWS]
        self._readings += 1
        self._make(window)
        self._delete(window)
        self._reading = _Reading(window, now, {"from": self._source(owner), "types": []})
        self._convert("TARGETS", "LUCID_TYPES")

    def _source(self, owner: int) -> str:
        """Whether the RDP server's clipboard channel owns it: that has put a property onto its window."""
        mark = self._intern("XRDP_GET_TIME_ATOM", make=False)
        answer = (
            self._connection.try_to_ask(20, 0, struct.pack("=5I", owner, mark, 0, 0, 0)) if mark else None
        )
        return "client" if answer is not None and struct.unpack_from("=I", answer, 8)[0] else "desktop"

    def _convert(self, target: str, name: str) -> None:
        assert self._reading  # noqa: S101 - for mypy: only a reading converts
        self._reading.step = target
        ask = (self._reading.window, *(self._atoms[each] for each in ("CLIPBOARD", target, name)), 0)
        self._connection.send(24, 0, struct.pack("=5I", *ask))

    def _answered(self, granted: bool) -> None:
        reading = self._reading
        assert reading  # noqa: S101 - for mypy: asked by the caller
        if reading.step == "TARGETS":
            atoms = self._types() if granted else []
            reading.said["types"] = [self._name(atom) for atom in atoms]
            if not atoms or self._atoms["UTF8_STRING"] in atoms:
                self._convert("UTF8_STRING", "LUCID_TEXT")
            elif self._atoms["STRING"] in atoms:
                reading.encoding = "latin-1"
                self._convert("STRING", "LUCID_TEXT")
            else:
                self._finish(not_kept="no text")
        elif granted:
            self._piece()
        else:
            self._finish(not_kept="its owner refused")

    def _types(self) -> list[int]:
        assert self._reading  # noqa: S101 - for mypy: asked by the caller
        answer = self._property("LUCID_TYPES", delete=False, words=MOST_TYPES)
        if answer is None or answer[1] != 32:
            return []
        count = min(struct.unpack_from("=I", answer, 16)[0], MOST_TYPES, (len(answer) - 32) // 4)
        return list(struct.unpack_from(f"={count}I", answer, 32))

    def _piece(self) -> None:
        """The text, or one more piece of it: a piece of no length is the end."""
        reading = self._reading
        assert reading  # noqa: S101 - for mypy: asked by the caller
        answer = self._property("LUCID_TEXT", delete=True, words=LARGEST_TEXT // 4)
        if answer is None:
            return self._finish(not_kept="its owner withdrew it")
        kind, left, count = struct.unpack_from("=3I", answer, 8)
        if kind == self._atoms["INCR"] and not reading.incremental:
            reading.incremental = True
            return None
        if answer[1] not in {0, 8}:
            return self._finish(not_kept="no text")
        piece = answer[32 : 32 + min(count, len(answer) - 32)]
        reading.data += piece
        if len(reading.data) > LARGEST_TEXT or left:
            return self._text(None if reading.incremental else len(piece) + left, cut=True)
        if not reading.incremental or not piece:
            return self._text(len(reading.data))
        return None

    def _text(self, size: int | None, *, cut: bool = False) -> None:
        assert self._reading  # noqa: S101 - for mypy: asked by the caller
        text = bytes(self._reading.data[:LARGEST_TEXT]).decode(self._reading.encoding, "replace")
        more: dict[str, Any] = {"cut": True} if cut else {}
        self._finish(text=text, **more | ({"size": size} if size is not None else {}))

    def _finish(self, **said: Any) -> None:
        assert self._reading  # noqa: S101 - for mypy: asked by the caller
        reading, self._reading = self._reading, None
        self._delete(reading.window)
        self._report(reading.said | said)

    def _make(self, window: int) -> None:
        """One that is never shown (InputOnly), whose changes of properties are told.

        If it is there, this fails and changes nothing: any program of the desktop may have destroyed it.
        """
        root = self._connection.setup.root
        body = struct.pack("=2I2h4H3I", window, root, -1, -1, 1, 1, 0, 2, 0, 0x800, _PROPERTY_CHANGE_MASK)
        self._connection.send(1, 0, body)

    def _delete(self, window: int) -> None:
        """Takes what was handed over without reading it; an owner that has more then hands that over."""
        self._connection.send(19, 0, struct.pack("=2I", window, self._atoms["LUCID_TEXT"]))

    def _property(self, name: str, *, delete: bool, words: int) -> bytes | None:
        assert self._reading  # noqa: S101 - for mypy: asked by the caller
        asked = struct.pack("=5I", self._reading.window, self._atoms[name], 0, 0, words)
        return self._connection.try_to_ask(20, int(delete), asked)

    def _intern(self, name: str, *, make: bool = True) -> int:
        body = struct.pack("=H2x", len(name)) + name.encode() + bytes(-len(name) % 4)
        return int(struct.unpack_from("=I", self._connection.ask(16, int(not make), body), 8)[0])

    def _name(self, atom: int) -> str:
        if atom not in self._names:
            if len(self._names) >= _NAMES_REMEMBERED:
                self._names.clear()
            answer = self._connection.try_to_ask(17, 0, struct.pack("=I", atom))
            size = min(struct.unpack_from("=H", answer, 8)[0], _LONGEST_NAME) if answer else 0
            self._names[atom] = answer[32 : 32 + size].decode("latin-1") if answer else f"atom {atom}"
        return self._names[atom]
