"""A recording that runs while a test breaks things, and what must hold of it in the end."""

import contextlib
import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from subprocess import Popen
from typing import Any

import msgspec

from tests.faults.recordings import check_nothing_lost
from tests.site.recording import End
from tests.site.standing import Site

SPOOL = "/var/lib/lucid/session-recorder/spool"
START_SECONDS = 60.0
END_SECONDS = 240.0


class Recorded:
    """A recording on rdp1. Its receipts are watched there from outside as the recorder writes them down."""

    def __init__(self, site: Site, directory: Path) -> None:
        self.acknowledged: list[bytes] = []
        self.silences: list[float] = []
        """Seconds that answers through the gateway kept a client waiting."""
        self.end: End | None = None
        self._site = site
        self._said: Queue[dict[str, Any]] = Queue()
        self._runner = site.begin(sys.executable, "-m", "tests.site.recording", str(directory))
        self._threads = [threading.Thread(target=self._listen, daemon=True)]
        self._threads[0].start()
        self.session: str = self._said.get(timeout=START_SECONDS)["session"]
        self._tails: list[Popen[str]] = []
        self.follow()

    def follow(self) -> None:
        """Watches receipts from the next unknown one on; again, where rdp1 was off meanwhile."""
        command = ("sudo", "tail", f"--lines=+{len(self.acknowledged) + 1}", "--follow=name", "--retry")
        tail = self._site.begin("ssh", "rdp1", *command, f"{SPOOL}/{self.session}/leaves.jsonl")
        self._tails.append(tail)
        self._threads.append(threading.Thread(target=self._witness, args=[tail], daemon=True))
        self._threads[-1].start()

    def finish(self) -> End:
        """Ends the recording; its bundle must verify and hold every chunk that was ever acknowledged."""
        assert self._runner.stdin is not None
        self._runner.stdin.write("over\n")
        self._runner.stdin.flush()
        assert self._runner.wait(END_SECONDS) == 0
        self._threads[0].join()
        assert self.end is not None
        self.check(self.end)
        return self.end

    def next_chunk(self, seconds: float = 90) -> float:
        """Waits for a chunk more to be acknowledged; returns the seconds that took."""
        before, begun = len(self.acknowledged), time.monotonic()
        while len(self.acknowledged) <= before:
            assert time.monotonic() < begun + seconds, f"no chunk acknowledged within {seconds:g} s"
            assert self._runner.poll() is None, "the recording ended by itself"
            time.sleep(0.1)
        return time.monotonic() - begun

    def check(self, end: End) -> None:
        """Nothing that was acknowledged is lost, doubled or in another order, and a hole has a name."""
        assert (end.state, end.outcome) == ("completed", "VERIFIED")
        self._site.wait("every receipt", lambda: len(self.acknowledged) >= end.manifest.count, 10)
        check_nothing_lost(end.manifest, [leaf.encode() for leaf in end.leaves], self.acknowledged)

    def close(self) -> None:
        """Ends what still runs."""
        for process in (self._runner, *self._tails):
            process.kill()
            process.communicate()

    def _listen(self) -> None:
        assert self._runner.stdout is not None
        for line in self._runner.stdout:
            said = json.loads(line)
            if "silent" in said:
                self.silences.append(said["silent"])
            elif "end" in said:
                self.end = msgspec.convert(said["end"], End)
            else:
                self._said.put(said)

    def _witness(self, tail: Popen[str]) -> None:
        assert tail.stdout is not None
        for line in tail.stdout:
            self.acknowledged.append(line.rstrip("\n").encode())


@contextlib.contextmanager
def recorded(site: Site, directory: Path) -> Iterator[Recorded]:
    """A recording for as long as the context lasts; `finish` it in there."""
    recording = Recorded(site, directory)
    try:
        yield recording
    finally:
        recording.close()
