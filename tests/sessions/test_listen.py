"""The listener as the process that it is: what it tells of a real X server, and how it ends."""

import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lucid.sessions import events, listen
from lucid.sessions.capture_run import EndCause
from lucid.sessions.clipboard_watch import LARGEST_TEXT, SECONDS_TO_ANSWER
from lucid.sessions.events import Still
from lucid.sessions.listening import Listener
from lucid.sessions.recording_errors import CaptureStartError
from lucid.sessions.x11_connection import X11Connection
from tests.sessions.capture_units import accepting
from tests.sessions.ears import Ear
from tests.sessions.screens import Screen

SILENT_OWNER = """
import sys, time
from pathlib import Path
import struct
from lucid.sessions.x11_connection import X11Connection
from lucid.sessions.xauthority import find_cookie, parse
display = int(sys.argv[1])
NAME = b"CLIPBOARD" + bytes(3)
with X11Connection(display, find_cookie(parse(Path(sys.argv[2]).read_bytes()), display)) as connection:
    window = connection.resource()
    connection.send(1, 0, struct.pack("=2I2h4H2I", window, connection.setup.root, 0, 0, 1, 1, 0, 2, 0, 0))
    atom = struct.unpack_from("=I", connection.ask(16, 0, struct.pack("=H2x", 9) + NAME), 8)[0]
    connection.send(22, 0, struct.pack("=3I", window, atom, 0))
    connection.ask(43, 0)
    time.sleep(60)
"""

TEXT = "Hello, Wörld! 1 < 2 €"


class TestInput:
    def test_what_is_typed_can_be_read(self, ear: Ear) -> None:
        ear.screen.run("setxkbmap", "-layout", "de")  # has all of them: xdotool need not lend a key to any
        ear.screen.run("xdotool", "type", "--delay", "20", TEXT)
        ear.until(lambda: "".join(key.text for key in ear.of(events.Key)) == TEXT)
        downs = [key for key in ear.of(events.Key) if key.down]
        ups = [key.keycode for key in ear.of(events.Key) if not key.down]
        assert sorted(key.keycode for key in downs) == sorted(ups)
        assert [key.at for key in downs] == sorted(key.at for key in downs)

    def test_a_key_with_control_types_nothing(self, ear: Ear) -> None:
        ear.screen.run("xdotool", "key", "ctrl+c", "Return")
        ear.until(lambda: [key.key for key in ear.of(events.Key) if not key.down].count("Return") == 1)
        struck = [(key.key, key.modifiers, key.text) for key in ear.of(events.Key) if key.down]
        assert struck == [("Control_L", (), ""), ("c", ("Control",), ""), ("Return", (), "")]

    def test_keys_of_a_third_layout_are_told_and_not_guessed(self, ear: Ear) -> None:
        ear.screen.run("setxkbmap", "-layout", "us,ru,gr")
        with X11Connection(ear.screen.number, ear.screen.cookie) as program:
            keyboard, devices = program.find("XKEYBOARD").opcode, program.find("XTEST").opcode
            program.ask(keyboard, 0, struct.pack("=2H", 1, 0))
            for layout in range(3):
                lock = struct.pack("=H6BxBh", 0x100, 0, 0, 1, layout, 0, 0, 0, 0)
                program.send(keyboard, 5, lock)
                for press in (2, 3):  # not by xdotool, which chooses a layout itself
                    program.send(devices, 2, struct.pack("=2B30x", press, 38))
                program.ask(43, 0)
        ear.until(lambda: len(ear.of(events.Key)) == 6)
        assert [(key.text, key.keysym) for key in ear.of(events.Key) if key.down] == [
            ("a", 0x61), ("ф", 0x6C6), ("", 0),
        ]  # fmt: skip

    def test_clicks_are_where_the_pointer_was(self, ear: Ear) -> None:
        ear.screen.run(
            "xdotool", "mousemove", "100", "120", "click", "1", "mousemove", "7", "9", "click", "3"
        )
        ear.until(lambda: len(ear.of(events.Button)) == 4)
        seen = [(event.button, event.down, event.x, event.y) for event in ear.of(events.Button)]
        assert seen == [(1, True, 100, 120), (1, False, 100, 120), (3, True, 7, 9), (3, False, 7, 9)]

    def test_movements_are_ten_a_second_and_the_last(self, ear: Ear) -> None:
        ear.screen.run("xdotool", "mousemove", "0", "50")
        before = len(ear.of(events.Pointer))
        begin = time.monotonic()
        for _ in range(60):
            ear.screen.run("xdotool", "mousemove_relative", "5", "0")
        took = time.monotonic() - begin
        ear.until(lambda: ear.of(events.Pointer)[-1].x == 300)
        assert 2 <= len(ear.of(events.Pointer)) - before <= 10 * took + 3

    def test_nobody_types_faster_than_is_kept(self, ear: Ear) -> None:
        for _ in range(3):
            ear.screen.run("xdotool", "key", "--delay", "0", *["a"] * 1500)
        assert ear.end() == 0
        left_out = sum(line.events for line in ear.of(events.LeftOut))
        assert left_out > 0
        assert len(ear.of(events.Key)) + left_out >= 2 * 4500


class TestClipboard:
    def test_text_is_kept_with_its_types_and_whose_it_is(self, ear: Ear) -> None:
        ear.copy(TEXT.encode())
        (copied,) = ear.clipboards(1)
        assert (copied.owner, copied.text, copied.size) == ("desktop", TEXT, len(TEXT.encode()))
        assert copied.types == ("TARGETS", "UTF8_STRING")

    def test_a_long_one_is_cut_and_stays_whole_for_others(self, ear: Ear) -> None:
        ear.copy(b"x" * 100_000)
        assert ear.clipboards(1)[0].size == 100_000
        time.sleep(0.6)
        ear.copy(b"y" * 9_000_000)  # in pieces
        (long, pieces) = ear.clipboards(2)
        assert (len(long.text or ""), long.cut) == (LARGEST_TEXT, True)
        assert (len(pieces.text or ""), pieces.cut) == (LARGEST_TEXT, True)
        pasted = subprocess.run(
            ["xclip", "-selection", "clipboard", "-out"],
            env=ear.screen.environment(),
            capture_output=True,
            check=True,
            timeout=20,
        )
        assert pasted.stdout == b"y" * 9_000_000

    def test_of_what_is_no_text_the_type_is_named(self, ear: Ear) -> None:
        ear.copy(b"\x89PNG", "-t", "image/png")
        (copied,) = ear.clipboards(1)
        assert (copied.text, copied.types) == (None, ("TARGETS", "image/png"))
        assert copied.not_kept == "no text"

    def test_an_owner_that_does_not_answer_keeps_nothing_else_waiting(self, ear: Ear) -> None:
        ear.copy(b"held")
        ear.clipboards(1)
        time.sleep(0.6)
        silent = ear.screen.start(
            sys.executable, "-c", SILENT_OWNER, str(ear.screen.number), str(ear.screen.xauthority)
        )
        try:
            time.sleep(0.7)
            ear.screen.run("xdotool", "type", "on")
            ear.until(lambda: "".join(key.text for key in ear.of(events.Key)) == "on", seconds=3)
            ear.until(lambda: len(ear.of(events.Clipboard)) >= 2, seconds=SECONDS_TO_ANSWER + 3)
            assert ear.of(events.Clipboard)[1].not_kept == "its owner did not answer in time"
        finally:
            silent.kill()
            silent.wait()
        assert ear.clipboards(3)[2].owner == "nobody"

    def test_what_was_there_before_is_told_first(self, start_ear: Callable[..., Ear]) -> None:
        first = start_ear("clipboard")
        first.copy(b"earlier")
        first.clipboards(1)
        assert start_ear("clipboard").clipboards(1)[0].text == "earlier"


class TestEnds:
    def test_only_what_is_asked_for_is_told(self, start_ear: Callable[..., Ear]) -> None:
        typing, copying = start_ear("input"), start_ear("clipboard")
        typing.copy(b"copied")
        typing.screen.run("xdotool", "type", "typed")
        typing.until(lambda: "".join(key.text for key in typing.of(events.Key)) == "typed")
        copying.clipboards(1)
        assert not typing.of(events.Clipboard)
        assert not copying.of(events.Key) + copying.of(events.Pointer) + copying.of(events.Button)

    def test_on_sigterm_with_all_that_came_before(self, ear: Ear) -> None:
        ear.screen.run("xdotool", "type", "--delay", "1", "last words")
        assert ear.end() == 0
        assert "".join(key.text for key in ear.of(events.Key)) == "last words"
        assert isinstance(ear.lines[-1], Still)

    def test_with_the_display_and_a_status_of_its_own(self, ear: Ear) -> None:
        ear.screen.server.kill()
        assert ear.process.wait(timeout=10) == listen.CUT_OFF
        ear.end()
        assert isinstance(ear.lines[-1], Still)

    def test_it_says_that_it_is_there_once_a_second(self, ear: Ear) -> None:
        time.sleep(3.2)
        assert 3 <= len(ear.of(Still)) <= 5


class TestInAUnit:
    async def test_it_listens_as_it_does_beside_the_recorder(self, screen: Screen, tmp_path: Path) -> None:
        with accepting(way := tmp_path / "socket") as hosts:
            async with Listener(screen.number, screen.cookie, ("input", "clipboard"), str(way)) as listener:
                lines = []
                async for line in listener:
                    lines.append(line)
                    if isinstance(line, Still):
                        listener.stop()
                assert listener.end.cause is EndCause.STOPPED
            assert isinstance(lines[0], events.Listening)
            assert lines[0].to == ("clipboard", "input")
            assert len(hosts) == 1

    async def test_it_is_not_begun_where_nobody_answers(self, screen: Screen, tmp_path: Path) -> None:
        with pytest.raises(CaptureStartError, match="does not answer"):
            await Listener(screen.number, screen.cookie, ("input",), str(tmp_path / "nobody")).__aenter__()
