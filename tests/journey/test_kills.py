"""kill -9 of each service in mid-recording: the recording completes, nothing acknowledged is lost."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lucid.dev.environment import standing
from lucid.evidence import trust as trust_file
from lucid.evidence.steps import Outcome, Report
from lucid.evidence.verify import verify
from tests.cli.command import LUCID, RunningStack
from tests.dev.waiting import until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

SECONDS = 6


@dataclass(frozen=True)
class Recorder:
    """A `lucid record` that runs."""

    process: subprocess.Popen[str]

    def details(self) -> dict[str, Any]:
        """What it printed at its end."""
        out, err = self.process.communicate(timeout=150)
        assert self.process.returncode == 0, err
        return dict(json.loads(out))


def record(stack: RunningStack) -> Recorder:
    """Begins to record a small desktop."""
    argv = [*LUCID, "record", "--seconds", str(SECONDS), "--fps", "10", "--size", "640x480", "--json"]
    env = os.environ | {"LUCID_STATE": str(stack.state.directory)}
    command = [*argv, "--", "xclock", "-update", "1"]
    pipe = subprocess.PIPE
    return Recorder(subprocess.Popen(command, env=env, stdout=pipe, stderr=pipe, text=True))


def spooled(stack: RunningStack) -> set[str]:
    """The sessions of which the recorder has a chunk on its disk, or had one."""
    spool = stack.state.service("session-recorder") / "spool"
    return {claim.parent.name for claim in spool.glob("*/[0-9]*.json")}


def proved(stack: RunningStack, session: str, directory: Path) -> Report:
    """What the verifier says of the session's bundle."""
    bundle, trust = directory / "bundle", directory / "trust"
    for command in (("bundle", session, "-o", str(bundle)), ("trust", "-o", str(trust))):
        answer = stack.lucid(*command)
        assert answer.returncode == 0, answer.stderr
    with bundle.open("rb") as file:
        return verify(file, trust_file.parse(trust.read_bytes()))


def pid_of(stack: RunningStack, service: str) -> int:
    pid = next(program.pid for program in stack.running.programs if program.name == service)
    assert pid is not None
    return pid


def workers_of(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in listed.split()]


@pytest.mark.parametrize("service", standing().start_order())
def test_killed_in_mid_recording_the_recording_completes(
    stack: RunningStack, service: str, tmp_path: Path
) -> None:
    before = spooled(stack)
    recorder = record(stack)
    until(lambda: spooled(stack) - before, seconds=60)
    pid = pid_of(stack, service)
    for victim in (*workers_of(pid), pid):
        os.kill(victim, signal.SIGKILL)
    details = recorder.details()
    assert details["session"]["state"] == "completed", details
    report = proved(stack, details["session"]["id"], tmp_path)
    assert report.outcome is Outcome.VERIFIED, report.failure
    assert report.manifest is not None
    assert report.manifest.count == details["pipeline"]["stored"]
    causes = [gap.cause for gap in report.manifest.gaps]
    if service == "session-recorder":
        assert causes == ["recorder_restarted"]
    else:
        assert causes == []
    assert report.manifest.end_ms - report.manifest.start_ms >= (SECONDS - 2) * 1000


def test_a_session_whose_desktop_ends_by_itself_is_completed(stack: RunningStack, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(4)"]
    answer = stack.lucid("record", "--size", "640x480", "--json", "--", *command, seconds=100)
    assert answer.returncode == 0, answer.stderr
    session = json.loads(answer.stdout)["session"]
    assert session["state"] == "completed"
    assert proved(stack, session["id"], tmp_path).outcome is Outcome.VERIFIED
