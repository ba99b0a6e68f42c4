"""One stack on a state directory at a time, and nobody believes what a dead one left behind."""

import subprocess
import sys
from pathlib import Path

import pytest

from lucid.dev import running
from lucid.dev.errors import StackError
from lucid.dev.layout import State
from lucid.dev.running import Program, Running
from tests.dev.waiting import until

RUNNING = Running(
    pid=1,
    state="ready",
    started_ms=1,
    api="https://127.0.0.1:1",
    ca="ca.crt",
    operator="operator.json",
    mongodb_url="",
    redis_url="",
    programs=(Program("t", 2, 0, "t.log"),),
)


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path)


class TestARunningStack:
    def test_is_found_while_it_holds_the_directory(self, state: State) -> None:
        assert running.find(state) is None
        with running.hold(state):
            running.publish(state, RUNNING)
            assert running.find(state) == RUNNING
        assert running.find(state) is None

    def test_keeps_a_second_one_away(self, state: State) -> None:
        with (
            running.hold(state),
            pytest.raises(StackError, match=r"a stack runs on .* already"),
            running.hold(state),
        ):
            pytest.fail("two stacks held one directory")


class TestAKilledStack:
    def test_is_not_believed_and_leaves_the_directory_free(self, state: State) -> None:
        script = (
            "import sys, time, pathlib\n"
            "from lucid.dev import running\n"
            "from lucid.dev.layout import State\n"
            "from tests.dev.test_running import RUNNING\n"
            "state = State(pathlib.Path(sys.argv[1]))\n"
            "with running.hold(state):\n"
            "    running.publish(state, RUNNING)\n"
            "    time.sleep(99)\n"
        )
        root = Path(__file__).parents[2]
        holder = subprocess.Popen([sys.executable, "-c", script, str(state.directory)], cwd=root)
        try:
            until(lambda: running.find(state))
        finally:
            holder.kill()
            holder.wait()
        assert state.running.exists()
        assert running.find(state) is None
        with running.hold(state):
            assert running.find(state) is None, "the dead one's word is taken for the new one's"
