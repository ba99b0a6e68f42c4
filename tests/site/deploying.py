"""Deploys the site that all tests here share."""

import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from lab import inventory, journey, lifecycle, machine
from lab.place import INVENTORY, REPOSITORY, Lab
from lucid.dev.processes import Processes

SECONDS = 1800


class Deployment:
    """Of a new lab, by the command of `make lab`. `remove` it."""

    def __init__(self) -> None:
        """Starts it. Raises LabError where the machine cannot hold a lab."""
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lucid-site-")))
            self.lab = Lab(f"s{os.getpid() % 10000}", directory / "lab", inventory.load(INVENTORY))
            machine.check(self.lab.state)
            stack.callback(lifecycle.down, self.lab)
            given = {"LUCID_LAB": self.lab.name, "LUCID_LAB_STATE": str(self.lab.state)}
            self._running = stack.enter_context(Processes()).start(
                "the lab's journey",
                [
                    sys.executable,
                    "-m",
                    "lab",
                    "--inventory",
                    INVENTORY.parent.name,
                    "journey",
                    "--seconds",
                    "5",
                ],
                log=directory / "journey.log",
                env=os.environ | given | {"PYTHONPATH": str(REPOSITORY)},
            )
            self._kept = stack.pop_all()

    def finish(self) -> float:
        """Waits for its end, and returns for how many seconds. Raises AssertionError if it failed."""
        begun = time.monotonic()
        while self._running.status is None and time.monotonic() < begun + SECONDS:
            time.sleep(0.2)
        assert self._running.status == 0, f"{self._running.ending}:\n{self._running.last_words(60)}"
        journey.play(self.lab, "lab/desktop.yml")
        return time.monotonic() - begun

    def remove(self) -> None:
        """Ends it if it still runs, and removes the lab without a trace. A second time does nothing."""
        self._kept.close()
