"""Programs end with the one who started them, whatever ends that."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lucid.dev.processes import Processes
from tests.dev.waiting import runs, until

pytestmark = pytest.mark.quiet

PARENT_AND_CHILD = "sleep 99 & echo $$ $! > $0.new; mv $0.new $0; wait"


class TestStopping:
    def test_ends_a_program_by_sigterm(self, processes: Processes, tmp_path: Path) -> None:
        process = processes.start("t", ["sleep", "99"], tmp_path / "log")
        process.stop()
        assert process.ending == "was ended by SIGTERM"

    def test_kills_one_that_does_not_listen_and_its_children(
        self, processes: Processes, tmp_path: Path
    ) -> None:
        pids = tmp_path / "pids"
        script = "trap '' TERM; " + PARENT_AND_CHILD
        process = processes.start("t", ["sh", "-c", script, str(pids)], tmp_path / "log")
        until(pids.exists)
        begin = time.monotonic()
        process.stop(limit=0.3)
        assert 0.3 <= time.monotonic() - begin < 5
        assert process.ending == "was ended by SIGKILL"
        until(lambda: not runs(int(pids.read_text().split()[1])))

    def test_leaving_the_context_ends_what_runs(self, tmp_path: Path) -> None:
        with Processes() as running:
            process = running.start("t", ["sleep", "99"], tmp_path / "log")
        assert process.status is not None


class TestStarting:
    def test_keeps_what_the_program_says(self, processes: Processes, tmp_path: Path) -> None:
        process = processes.start("t", ["sh", "-c", "echo one; echo two >&2; exit 3"], tmp_path / "log")
        until(lambda: process.status is not None)
        process.kill()
        assert process.ending == "ended with status 3"
        assert process.last_words() == "one\ntwo"
        assert process.last_words(lines=1) == "two"

    def test_gives_it_the_environment_named_and_no_other(self, processes: Processes, tmp_path: Path) -> None:
        process = processes.start("t", ["/usr/bin/env"], tmp_path / "log", {"ONLY": "this"})
        until(lambda: process.status is not None)
        process.kill()
        assert process.last_words(20) == "ONLY=this"

    def test_a_program_that_is_not_there_is_an_error(self, processes: Processes, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            processes.start("t", [str(tmp_path / "nothing")], tmp_path / "log")


class TestWhenTheKeeperIsKilled:
    def test_its_programs_end_with_their_children(self, tmp_path: Path) -> None:
        pids = tmp_path / "pids"
        script = (
            "import sys, pathlib, time\n"
            "from lucid.dev.processes import Processes\n"
            "with Processes() as running:\n"
            "    running.start('t', ['sh', '-c', 'sleep 99 & echo $$ $! > $0.new; mv $0.new $0; wait',"
            " sys.argv[1]], pathlib.Path(sys.argv[1] + '.log'))\n"
            "    time.sleep(99)\n"
        )
        keeper = subprocess.Popen([sys.executable, "-c", script, str(pids)])
        try:
            until(pids.exists)
        finally:
            keeper.send_signal(signal.SIGKILL)
            keeper.wait()
        leader, child = (int(word) for word in pids.read_text().split())
        until(lambda: not runs(leader) and not runs(child))
