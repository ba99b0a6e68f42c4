"""What comes from a display's keyboard and mouse, for the listener.

Taken from the devices themselves (XInput 2.2, raw events), so neither focus nor grabs hide anything. What a
key means follows from the server's mapping and the state of its modifiers, which XKEYBOARD tells in between.
"""

import struct
import time
from typing import Any, Protocol

from lucid.sessions.recording_errors import DisplayError
from lucid.sessions.x11_events import Event, EventConnection
from lucid.sessions.x11_keys import FIRST_KEYCODE, KEYCODES, Keymap, read_keymap
from lucid.sessions.x11_wire import GENERIC_EVENT

MOTION_SECONDS = 0.1
"""Of the pointer's movements, one position in so long a time is kept, and the last."""

_RAW_KEY_PRESS, _RAW_KEY_RELEASE, _RAW_BUTTON_PRESS, _RAW_BUTTON_RELEASE, _RAW_MOTION = range(13, 18)
_REPEATED = 1 << 16
_ALL_MASTER_DEVICES = 1
_CORE_KEYBOARD = 0x100
_NEW_KEYBOARD, _MAP, _STATE = 0, 1, 2
_KEYMAPS_A_SECOND = 20


class Report(Protocol):
    """Takes an event: its time in seconds of the monotonic clock, what it is, and what there is to say."""

    def __call__(self, now: float, what: str, **said: Any) -> None: ...


class InputWatch:
    """Keys, buttons and the pointer."""

    def __init__(self, connection: EventConnection, report: Report) -> None:
        """Raises DisplayError: the server lacks XInput 2.2 or XKEYBOARD."""
        self._connection, self._report = connection, report
        self._input = connection.find("XInputExtension")
        version = struct.unpack_from(
            "=8x2H", connection.ask(self._input.opcode, 47, struct.pack("=2H", 2, 2))
        )
        if version < (2, 2):
            raise DisplayError(f"the X server has XInput {version[0]}.{version[1]}: 2.2 is needed")
        self._keyboard = connection.find("XKEYBOARD")
        if not connection.ask(self._keyboard.opcode, 0, struct.pack("=2H", 1, 0))[1]:
            raise DisplayError("the X server does not speak XKEYBOARD 1.0, which recording input needs")
        # Of the three kinds of events, the mapping's are chosen by the last two masks, for all that it has.
        chosen = (_CORE_KEYBOARD, 0b111, 0, 0b101, 0xFF, 0xFF)
        connection.send(self._keyboard.opcode, 1, struct.pack("=6H", *chosen))
        state = connection.ask(self._keyboard.opcode, 4, struct.pack("=H2x", _CORE_KEYBOARD))
        self._modifiers, self._group = state[8], state[12]
        self._keymap = Keymap({}, [])
        self._keymap_stale = True
        self._keymaps = (0, 0)
        self._read_keymap(time.monotonic())
        raw = sum(1 << kind for kind in range(_RAW_KEY_PRESS, _RAW_MOTION + 1))
        root = connection.setup.root
        connection.send(self._input.opcode, 46, struct.pack("=IH2x2HI", root, 1, _ALL_MASTER_DEVICES, 1, raw))
        self._moved = False
        self._pointer: tuple[int, int] | None = None
        self._pointer_due = 0.0

    def begin(self, now: float) -> None:
        """Writes where the pointer is."""
        x, y = self._ask_pointer()
        self._report(now, "pointer", x=x, y=y)

    def due(self) -> float | None:
        """When `tick` has something to do; None if it has nothing."""
        return self._pointer_due if self._moved else None

    def take(self, event: Event) -> None:
        """An event, perhaps none of the devices'."""
        if event.kind == GENERIC_EVENT:
            if event.message[1] == self._input.opcode and len(event.message) >= 32:
                self._raw(event)
        elif event.kind == self._keyboard.first_event:
            kind = event.message[1]
            if kind == _STATE:
                self._modifiers, self._group = event.message[9], event.message[13]
            elif kind in {_NEW_KEYBOARD, _MAP}:
                self._keymap_stale = True
                self._read_keymap(event.time)

    def tick(self, now: float, *, last: bool = False) -> None:
        """Writes where the pointer is, if it has moved and the time has come, or it is the last time."""
        if self._moved and (last or now >= self._pointer_due):
            self._moved = False
            self._pointer_due = now + MOTION_SECONDS
            before = self._pointer
            if (place := self._ask_pointer()) != before:
                self._report(now, "pointer", x=place[0], y=place[1])

    def _raw(self, event: Event) -> None:
        kind, _, _, detail, _, _, flags = struct.unpack_from("=2H2I2HI", event.message, 8)
        if kind == _RAW_MOTION:
            self._moved = True
        elif kind in {_RAW_KEY_PRESS, _RAW_KEY_RELEASE}:
            if self._keymap_stale:
                self._read_keymap(event.time)
            stroke = self._keymap.stroke(detail, self._modifiers, self._group)
            said: dict[str, Any] = {"text": stroke.text} if stroke.text and kind == _RAW_KEY_PRESS else {}
            if flags & _REPEATED:
                said["repeated"] = True
            self._report(
                event.time,
                "key",
                down=kind == _RAW_KEY_PRESS,
                keycode=detail,
                keysym=stroke.keysym,
                key=stroke.name,
                modifiers=stroke.modifiers,
                **said,
            )
        elif kind in {_RAW_BUTTON_PRESS, _RAW_BUTTON_RELEASE}:
            x, y = self._ask_pointer()
            self._report(event.time, "button", down=kind == _RAW_BUTTON_PRESS, button=detail, x=x, y=y)

    def _ask_pointer(self) -> tuple[int, int]:
        answer = self._connection.ask(38, 0, struct.pack("=I", self._connection.setup.root))
        self._pointer = struct.unpack_from("=2h", answer, 16)
        return self._pointer

    def _read_keymap(self, now: float) -> None:
        second, read = self._keymaps
        if second == int(now) and read >= _KEYMAPS_A_SECOND:
            return  # a program that changes it without end; what is known is gone by until the next second
        self._keymaps = (int(now), read + 1 if second == int(now) else 1)
        self._keymap_stale = False
        keysyms = self._connection.try_to_ask(101, 0, struct.pack("=2B2x", FIRST_KEYCODE, KEYCODES))
        modifiers = self._connection.try_to_ask(119, 0)
        controls = self._connection.try_to_ask(self._keyboard.opcode, 6, struct.pack("=H2x", _CORE_KEYBOARD))
        if keysyms is not None and modifiers is not None and controls is not None:
            self._keymap = read_keymap(keysyms, modifiers, controls)
