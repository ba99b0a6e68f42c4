"""The listener: a process that writes down what is typed, clicked and copied on an X display.

``python -m lucid.sessions.listen DISPLAY WHAT``: WHAT is ``input``, ``clipboard`` or both with a comma
between; the connection to the display and its cookie come over the standard input (`handed_over`). Each event
is a line of JSON on standard output, its time ``at`` in milliseconds since the listener's beginning, which is
the first line on its standard error: seconds of the monotonic clock. Once a second, and at the end, comes a
line ``still``: the server has been asked, and all that it told of before then is in the lines above.

On SIGTERM it asks once more, and ends. What the server and the programs of the session say may be anything.
"""

import contextlib
import json
import os
import signal
import struct
import sys
import time
from collections import Counter
from typing import Any

from lucid.sessions import handed_over
from lucid.sessions.clipboard_watch import ClipboardWatch
from lucid.sessions.input_watch import InputWatch
from lucid.sessions.recording_errors import RecordingError
from lucid.sessions.x11_connection import DisplayLostError
from lucid.sessions.x11_events import EventConnection

CUT_OFF = 3
"""Exit status: the X server has ended the connection."""
FAILED = 1

STILL_SECONDS = 1.0
MOST_LINES = 500
"""Of a kind, a second. Nobody types or clicks as fast; what a program makes up beyond them is counted."""


class Lines:
    """Writes the lines, their times in order, and no more than MOST_LINES of a kind a second."""

    def __init__(self, output: int) -> None:
        self._output = output
        self.begin = time.monotonic()
        self._last_ms = 0
        self._second = self._left_out = 0
        self._in_second = Counter[str]()

    def write(self, now: float, what: str, **said: Any) -> None:
        """One event, at a time of the monotonic clock in seconds."""
        self._turn(now)
        self._in_second[what] += 1
        if self._in_second[what] > MOST_LINES:
            self._left_out += 1
        else:
            self._put(now, what, said)

    def left_out(self, number: int) -> None:
        """So many events there was no room for."""
        self._left_out += number

    def still(self, now: float) -> None:
        """All that happened before this time has been written."""
        self._tell_left_out(now)
        self._put(now, "still", {})

    def _turn(self, now: float) -> None:
        if int(now) > self._second:
            self._second = int(now)
            self._in_second.clear()
            self._tell_left_out(now)

    def _tell_left_out(self, now: float) -> None:
        if left := self._left_out:
            self._left_out = 0
            self._put(now, "left_out", {"events": left})

    def _put(self, now: float, what: str, said: dict[str, Any]) -> None:
        self._last_ms = max(self._last_ms, int(1000 * (now - self.begin)))
        line = json.dumps(
            {"at": self._last_ms, "what": what, **said}, ensure_ascii=False, separators=(",", ":")
        )
        data = line.encode(errors="replace") + b"\n"
        while data:
            data = data[os.write(self._output, data) :]


def listen(connection: EventConnection, wanted: set[str], output: int, waker: int) -> None:
    """Write events until `waker` can be read. Raises DisplayError."""
    lines = Lines(output)
    watches: list[InputWatch | ClipboardWatch] = []
    if "input" in wanted:
        watches.append(InputWatch(connection, lines.write))
    if "clipboard" in wanted:
        watches.append(
            ClipboardWatch(connection, lambda said: lines.write(time.monotonic(), "clipboard", **said))
        )
    connection.ask(43, 0)  # what was asked for without an answer is in force now
    lines.begin = time.monotonic()
    sys.stderr.write(f"{lines.begin}\n")
    sys.stderr.flush()
    lines.write(lines.begin, "listening", to=sorted(wanted))
    for watch in watches:
        watch.begin(time.monotonic())
    still_due = 0.0
    try:
        while still_due >= 0:
            dues = [due for watch in watches if (due := watch.due()) is not None]
            connection.wait(min([still_due, *dues]) - time.monotonic(), waker)
            still_due = _turn(connection, watches, lines, still_due, stopping=_readable(waker))
    except DisplayLostError:
        for event in connection.rest():
            for watch in watches:
                with contextlib.suppress(DisplayLostError):  # what there was to ask about it is not known
                    watch.take(event)
        lines.still(time.monotonic())  # the server's last word has been read
        raise


def _turn(
    connection: EventConnection,
    watches: list[InputWatch | ClipboardWatch],
    lines: Lines,
    still_due: float,
    *,
    stopping: bool,
) -> float:
    """Write what has come. Returns when to ask next whether all is still; less than 0: never."""
    asked = time.monotonic()
    asking = stopping or asked >= still_due
    if asking:
        connection.ask(43, 0)  # GetInputFocus, which costs nothing: what was told before is here now
    for event in connection.take():
        for watch in watches:
            watch.take(event)
    dropped, connection.dropped = connection.dropped, 0
    lines.left_out(dropped)
    for watch in watches:
        watch.tick(time.monotonic(), last=stopping)
    if asking:
        lines.still(asked)
    return -1.0 if stopping else asked + STILL_SECONDS if asking else still_due


def _readable(descriptor: int) -> bool:
    try:
        return bool(os.read(descriptor, 16))
    except BlockingIOError:
        return False


def main(arguments: list[str]) -> int:
    """Returns the exit status."""
    display, wanted = int(arguments[0]), set(arguments[1].split(","))
    waker, wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wakes)
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        connected, cookie = handed_over.receive()
        with EventConnection(display, cookie, connected) as connection:
            listen(connection, wanted, sys.stdout.fileno(), waker)
    except BrokenPipeError:
        return 0  # the recorder has gone
    except (RecordingError, struct.error, IndexError) as error:
        sys.stderr.write(f"{error}\n")  # the last two: an answer cut short, which no X server sends
        return CUT_OFF if isinstance(error, DisplayLostError) else FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
