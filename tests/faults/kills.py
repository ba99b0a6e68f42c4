"""kill -9 of whatever runs, at moments and of victims that a seed chooses, while desktops are recorded."""

import contextlib
import json
import os
import random
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lucid.evidence import trust
from lucid.evidence.bundle import BundleReader
from lucid.evidence.steps import Outcome
from lucid.evidence.verify import verify
from tests.cli.command import LUCID, RunningStack
from tests.faults.recordings import check_nothing_lost

RECORDED_SECONDS = 6
END_SECONDS = 150.0


@dataclass
class Witness:
    """Sees each receipt as the recorder writes it down, so that none can be forgotten later."""

    leaves: Path
    seen: list[bytes] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        """Until `stop`."""
        while not self._over.wait(0.05):
            self.look()

    def look(self) -> None:
        """Notes what is new. The file goes with its session, once that is finished."""
        with contextlib.suppress(FileNotFoundError):
            whole = self.leaves.read_bytes().rpartition(b"\n")[0].splitlines()
            if len(whole) > len(self.seen):
                self.seen += whole[len(self.seen) :]

    def stop(self) -> None:
        self._over.set()


def record_and_kill(
    stack: RunningStack, rng: random.Random, directory: Path, *, recordings: int, kills: int
) -> list[str]:
    """Records some desktops at once and kills meanwhile; checks everything; returns whom it killed."""
    names = [f"kills {rng.randrange(2**32):08x}" for _ in range(recordings)]
    recorders = [_record(stack, name) for name in names]
    sessions = set[str]()
    while len(sessions) < recordings:
        assert all(recorder.poll() is None for recorder in recorders)
        sessions |= _begun(stack, names)
    spool = stack.state.service("session-recorder") / "spool"
    witnesses = {session: Witness(spool / session / "leaves.jsonl") for session in sessions}
    watching = [threading.Thread(target=witness.watch) for witness in witnesses.values()]
    for thread in watching:
        thread.start()
    try:
        victims = [_kill(stack, rng) for _ in range(kills)]
        ends = [_end(each) for each in recorders]
    finally:
        for witness in witnesses.values():
            witness.stop()
        for thread in watching:
            thread.join()
        for each in recorders:
            with each:  # closes its pipes
                each.kill()
    for end in ends:
        session = end["session"]
        assert session["state"] == "completed", end
        _check(stack, session["id"], witnesses[session["id"]], directory)
    return victims


def _record(stack: RunningStack, name: str) -> subprocess.Popen[str]:
    options = ["--seconds", str(RECORDED_SECONDS), "--fps", "10", "--size", "640x480", "--name", name]
    command = [*LUCID, "record", *options, "--json", "--", "xclock", "-update", "1"]
    env = os.environ | {"LUCID_STATE": str(stack.state.directory)}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _begun(stack: RunningStack, names: list[str]) -> set[str]:
    found = json.loads(stack.lucid("sessions", "--json").stdout)["sessions"]
    return {s["id"] for s in found if s["name"] in names and s["state"] == "recording" and s["chunks"]}


def _kill(stack: RunningStack, rng: random.Random) -> str:
    """Waits a moment, then ends one program of the stack, databases included, with its workers."""
    time.sleep(rng.uniform(0.1, 1.5))
    name = rng.choice(sorted(program.name for program in stack.running.programs))
    pid = next(program.pid for program in stack.running.programs if program.name == name)
    if pid is None:
        return f"{name} (already down)"
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        for victim in (*map(int, children), pid):
            os.kill(victim, signal.SIGKILL)
    return name


def _end(recorder: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = recorder.communicate(timeout=END_SECONDS)
    assert recorder.returncode == 0, err
    return dict(json.loads(out))


def _check(stack: RunningStack, session: str, witness: Witness, directory: Path) -> None:
    """The bundle verifies and holds every chunk that was ever acknowledged, once; the spool is empty."""
    bundle, trusted = directory / f"{session}.bundle", directory / "trust"
    for command in (("bundle", session, "-o", str(bundle)), ("trust", "-o", str(trusted))):
        answer = stack.lucid(*command)
        assert answer.returncode == 0, answer.stderr
    with bundle.open("rb") as file:
        report = verify(file, trust.parse(trusted.read_bytes()))
    assert report.outcome is Outcome.VERIFIED, report.failure
    assert report.manifest is not None
    with bundle.open("rb") as file:
        held = list(BundleReader(file).parts.leaves)
    witness.look()
    spool = stack.state.service("session-recorder") / "spool" / session
    _wait_until_empty(stack, spool)
    check_nothing_lost(report.manifest, held, witness.seen)
    bundle.unlink()
    trusted.unlink()


def _wait_until_empty(stack: RunningStack, spool: Path) -> None:
    """A recorder that was killed often is started again after a pause of up to 15 s, and then has to look."""
    until_seconds = time.monotonic() + 60
    while held := sorted(path.name for path in spool.glob("*.chunk")):
        recorder = next(p for p in stack.running.programs if p.name == "session-recorder")
        state = (spool / "session.json").read_text()
        assert time.monotonic() < until_seconds, f"{held} stay in the spool of {recorder}: {state}"
        time.sleep(0.2)
