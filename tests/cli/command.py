"""Runs the real `lucid` command, and a stack for it."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner, Result

from lucid.cli import main
from lucid.dev import running
from lucid.dev.layout import State
from lucid.dev.processes import Process, Processes
from lucid.dev.running import Running

START_SECONDS = 100.0
LUCID = (sys.executable, "-m", "lucid")


def lucid(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, seconds: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end. `env` is added to this process's environment."""
    return subprocess.run(
        [*LUCID, *arguments],
        env=os.environ | (env or {}),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def invoke(*arguments: str, env: Mapping[str, str] | None = None) -> Result:
    """The same within this process: quick, for commands that end by themselves."""
    return CliRunner().invoke(main, arguments, env=env or {})


@dataclass(frozen=True)
class RunningStack:
    """A stack under `lucid dev`."""

    state: State
    process: Process

    @property
    def running(self) -> Running:
        """As other commands see it."""
        found = running.find(self.state)
        assert found is not None, self.process.last_words(20)
        return found

    def lucid(self, *arguments: str, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        """A command that finds this stack by LUCID_STATE."""
        return lucid(*arguments, env={"LUCID_STATE": str(self.state.directory)}, seconds=seconds)

    def stop(self) -> None:
        """Ends it as Ctrl-C does."""
        self.process.stop(limit=60.0)


def start_stack(processes: Processes, directory: Path) -> RunningStack:
    """Starts `lucid dev` and waits until it is ready."""
    argv = [*LUCID, "dev", "--state", str(directory)]
    process = processes.start("lucid dev", argv, directory.with_suffix(".log"))
    state = State(directory)
    until = time.monotonic() + START_SECONDS
    while (found := running.find(state)) is None or found.state != "ready":
        assert process.status is None, process.last_words(20)
        assert time.monotonic() < until, process.last_words(20)
        time.sleep(0.1)
    return RunningStack(state, process)
