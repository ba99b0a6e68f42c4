"""Keeps one program running: starts it again when it ends, after pauses that grow while it keeps failing."""

import time
from collections.abc import Callable

from lucid.dev.probe import DOWN, Observed
from lucid.dev.processes import Process, Processes

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 15.0
SETTLED_SECONDS = 30.0
"""A program that ran this long is started again as if it had never failed."""


class Supervised:
    """A program, started already, and what becomes of it. `say` is told what happens."""

    def __init__(self, process: Process, processes: Processes, say: Callable[[str], None]) -> None:
        self.name = process.name
        self.log = process.log
        self.restarts = 0
        self.observed: Observed = DOWN
        self.process: Process | None = process
        self._first = process
        self._processes = processes
        self._say = say
        self._failures = 0
        self._started = time.monotonic()
        self._start_at = 0.0

    def tend(self, now: float) -> bool:
        """Notices its end, or starts it again when it is time. Whether anything changed.

        `now` is in `time.monotonic()` seconds.
        """
        if self.process is not None:
            if self.process.status is None:
                return False
            self._bury(self.process, now)
            return True
        if now < self._start_at:
            return False
        self.restarts += 1
        self._started = now
        self.process = self._processes.start_again(self._first)
        return True

    def stop(self) -> None:
        """Ends it for good."""
        if self.process is not None:
            self.process.stop()
            self.process = None
        self.observed = DOWN

    def _bury(self, process: Process, now: float) -> None:
        # Its children are ended too: they hold its listening sockets, which its successor needs.
        process.kill()
        if now - self._started > SETTLED_SECONDS:
            self._failures = 0
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**self._failures)
        self._failures += 1
        self._start_at = now + pause
        self.process = None
        self.observed = DOWN
        self._say(f"{self.name} {process.ending}; it is started again in {pause:g} s (log: {self.log})")
