"""The listener on a real X server, among programs of the desktop that want it to miss or misread things."""

import signal
import struct
import time

from lucid.sessions import events
from lucid.sessions.x11_connection import X11Connection
from tests.sessions.ears import Ear

CONTROL = 4
"""The bit of this modifier."""


def atom(intruder: X11Connection, name: bytes) -> int:
    """The server's number of a name."""
    asked = struct.pack("=H2x", len(name)) + name + bytes(-len(name) % 4)
    return int(struct.unpack_from("=I", intruder.ask(16, 0, asked), 8)[0])


def windows_of(intruder: X11Connection) -> list[int]:
    """All windows of the first level: on an empty screen, the listener's."""
    answer = intruder.ask(15, 0, struct.pack("=I", intruder.setup.root))
    return list(struct.unpack_from(f"={struct.unpack_from('=H', answer, 16)[0]}I", answer, 32))


def send_event(intruder: X11Connection, window: int, event: bytes) -> None:
    """Have the server deliver this to whoever made the window."""
    intruder.send(25, 0, struct.pack("=2I", window, 0) + event.ljust(32, b"\0"))


def intruder_on(ear: Ear) -> X11Connection:
    """Another program of the desktop."""
    return X11Connection(ear.screen.number, ear.screen.cookie)


def typed(ear: Ear) -> str:
    return "".join(key.text for key in ear.of(events.Key))


class TestMadeUpEvents:
    def test_of_the_keyboard_change_nothing_of_what_is_typed(self, ear: Ear) -> None:
        with intruder_on(ear) as intruder:
            keyboard = intruder.find("XKEYBOARD").first_event
            pressed = struct.pack("=2B2xI2B", keyboard, 2, 0, 3, CONTROL)
            send_event(intruder, windows_of(intruder)[0], pressed)
            intruder.ask(43, 0)
            ear.screen.run("xdotool", "type", "--delay", "20", "secret")
            ear.until(lambda: len([key for key in ear.of(events.Key) if not key.down]) == 6)
        assert typed(ear) == "secret"
        assert {key.modifiers for key in ear.of(events.Key)} == {()}

    def test_of_the_clipboard_are_not_told(self, ear: Ear) -> None:
        with intruder_on(ear) as intruder:
            fixes, clipboard = intruder.find("XFIXES").first_event, atom(intruder, b"CLIPBOARD")
            send_event(
                intruder, windows_of(intruder)[0],
                struct.pack("=4x4I", intruder.setup.root, 0, clipboard, 0).replace(b"\0", bytes([fixes]), 1),
            )  # fmt: skip
            intruder.ask(43, 0)
            ear.copy(b"copied")
            assert [copied.text for copied in ear.clipboards(1)] == ["copied"]

    def test_do_not_crowd_out_what_happened(self, ear: Ear) -> None:
        with intruder_on(ear) as intruder:
            window = windows_of(intruder)[0]
            ear.process.send_signal(signal.SIGSTOP)
            for _ in range(30_000):
                send_event(intruder, window, bytes([12]))
            ear.screen.run("xdotool", "type", "--delay", "1", "seen")
            time.sleep(1.1)  # so that it asks something before it reads
            ear.process.send_signal(signal.SIGCONT)
            ear.until(lambda: typed(ear) == "seen")
        assert ear.of(events.LeftOut) == []


def test_windows_that_somebody_destroys_are_made_again(ear: Ear) -> None:
    with intruder_on(ear) as intruder:
        for window in windows_of(intruder):
            intruder.send(4, 0, struct.pack("=I", window))
        intruder.ask(43, 0)
    ear.copy(b"copied all the same")
    assert [copied.text for copied in ear.clipboards(1)] == ["copied all the same"]


def test_a_clipboard_that_never_rests_does_not_crowd_out_keys(ear: Ear) -> None:
    with intruder_on(ear) as intruder:
        clipboard, window = atom(intruder, b"CLIPBOARD"), intruder.resource()
        intruder.send(1, 0, struct.pack("=2I2h4H2I", window, intruder.setup.root, 0, 0, 1, 1, 0, 2, 0, 0))
        for _ in range(10):
            for _ in range(400):
                intruder.send(22, 0, struct.pack("=3I", window, clipboard, 0))
            ear.screen.run("xdotool", "type", "--delay", "1", "k")
        ear.until(lambda: typed(ear) == "k" * 10)
        ear.until(lambda: bool(ear.of(events.LeftOut)))


def test_what_was_typed_before_the_display_ended_is_told_by_a_late_listener_too(ear: Ear) -> None:
    ear.process.send_signal(signal.SIGSTOP)
    ear.screen.run("xdotool", "type", "--delay", "1", "bye")
    ear.screen.server.kill()
    ear.screen.server.wait(timeout=10)
    time.sleep(1.1)  # it is to ask whether all is still before it reads
    ear.process.send_signal(signal.SIGCONT)
    ear.process.wait(timeout=10)
    ear.end()
    assert typed(ear) == "bye"
