"""A program that ends is started again, at once at first, and ever more rarely while it keeps failing."""

import time
from pathlib import Path

import pytest

from lucid.dev.processes import Processes
from lucid.dev.supervisor import FIRST_PAUSE, LONGEST_PAUSE, SETTLED_SECONDS, Supervised
from tests.dev.waiting import runs, until


@pytest.fixture
def said() -> list[str]:
    return []


def _supervise(processes: Processes, tmp_path: Path, said: list[str], script: str) -> Supervised:
    process = processes.start("t", ["sh", "-c", script, str(tmp_path / "pids")], tmp_path / "log")
    return Supervised(process, processes, said.append)


def _wait_for_end(program: Supervised) -> None:
    process = program.process
    assert process is not None
    until(lambda: process.status is not None)


class TestAProgramThatEnds:
    def test_is_started_again_after_a_pause_and_that_is_said(
        self, processes: Processes, tmp_path: Path, said: list[str]
    ) -> None:
        program = _supervise(processes, tmp_path, said, "exit 3")
        _wait_for_end(program)
        now = time.monotonic()
        assert program.tend(now)
        assert said == [f"t ended with status 3; it is started again in 0.5 s (log: {tmp_path / 'log'})"]
        assert not program.tend(now + FIRST_PAUSE / 2)
        assert program.tend(now + FIRST_PAUSE)
        assert program.process is not None
        assert program.restarts == 1
        program.stop()

    def test_waits_longer_each_time_up_to_a_limit(
        self, processes: Processes, tmp_path: Path, said: list[str]
    ) -> None:
        program = _supervise(processes, tmp_path, said, "exit 1")
        now = time.monotonic()
        for _ in range(7):
            _wait_for_end(program)
            program.tend(now)
            now += LONGEST_PAUSE
            program.tend(now)
        pauses = [line.partition("again in ")[2].partition(" s")[0] for line in said]
        assert pauses == ["0.5", "1", "2", "4", "8", "15", "15"]
        program.stop()

    def test_is_started_quickly_again_once_it_had_run_for_a_while(
        self, processes: Processes, tmp_path: Path, said: list[str]
    ) -> None:
        program = _supervise(processes, tmp_path, said, "exit 1")
        now = time.monotonic()
        for _ in range(3):
            _wait_for_end(program)
            program.tend(now + SETTLED_SECONDS + 1)
            now += SETTLED_SECONDS + 1 + LONGEST_PAUSE
            program.tend(now)
        assert all("again in 0.5 s" in line for line in said)
        program.stop()

    def test_takes_its_children_with_it(self, processes: Processes, tmp_path: Path, said: list[str]) -> None:
        pids = tmp_path / "pids"
        program = _supervise(processes, tmp_path, said, "sleep 99 & echo $! > $0")
        until(lambda: pids.exists() and pids.read_text())
        _wait_for_end(program)
        program.tend(time.monotonic())
        until(lambda: not runs(int(pids.read_text())))


class TestAProgramThatRuns:
    def test_is_left_alone(self, processes: Processes, tmp_path: Path, said: list[str]) -> None:
        program = _supervise(processes, tmp_path, said, "exec sleep 99")
        assert not program.tend(time.monotonic() + 1000)
        assert said == []
        program.stop()
        assert program.process is None
