"""The listener as the process that it is, on a real X server."""

import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

from lucid.sessions import capture_jobs, events
from lucid.sessions.capture_jobs import LISTENER, Job
from lucid.sessions.events import Line, Still
from tests.sessions.screens import Screen


class Ear:
    """A running listener, and the lines that it has written."""

    def __init__(self, screen: Screen, *what: Any) -> None:
        self.screen = screen
        job = Job(LISTENER, (str(screen.number), ",".join(what)))
        with screen.handed_over() as stdin:
            self.process = subprocess.Popen(
                capture_jobs.command(job),
                env=capture_jobs.environment(job),
                stdin=stdin.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        self.lines: list[Line | Still] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.until(lambda: bool(self.lines))

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(events.decode(line))

    def until(self, seen: Callable[[], bool], seconds: float = 10) -> None:
        """Returns once it is seen."""
        over = time.monotonic() + seconds
        while not seen():
            assert time.monotonic() < over, self.lines[-20:]
            time.sleep(0.02)

    def of(self, kind: type[Any]) -> list[Any]:
        """The lines of a kind."""
        return [line for line in self.lines if isinstance(line, kind)]

    def end(self) -> int:
        """Ends it; returns its status."""
        self.process.terminate()
        status = self.process.wait(timeout=10)
        self._reader.join(timeout=10)
        return status

    def clipboards(self, number: int) -> list[events.Clipboard]:
        """What was in the clipboard, once it is so many contents."""
        self.until(lambda: len(self.of(events.Clipboard)) >= number)
        return self.of(events.Clipboard)

    def copy(self, text: bytes, *more: str) -> None:
        """Has xclip hold a text."""
        subprocess.run(
            ["xclip", "-selection", "clipboard", "-in", *more],
            input=text,
            env=self.screen.environment(),
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=10,
        )
