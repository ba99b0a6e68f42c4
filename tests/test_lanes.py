"""Tests that measure time have the machine to themselves."""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.lanes import Turn, Turns


def test_a_quiet_test_runs_alone_and_is_not_overtaken(tmp_path: Path) -> None:
    turns, ran = Turns(tmp_path / "floor", tmp_path / "door"), list[str]()
    for path in (turns.floor, turns.door):
        path.touch()
    may_end = threading.Event()

    def quiet() -> None:
        with turns.turn(alone=True):
            ran.append("quiet")
            may_end.wait(10)
            ran.append("quiet is over")

    def other() -> None:
        with turns.turn(alone=False):
            ran.append("other")

    with ExitStack() as first:
        first.enter_context(turns.turn(alone=False))
        with turns.turn(alone=False):
            pass  # two that measure nothing run beside each other
        waiting = _started(quiet)
        late = _started(other)
        late.join(0.3)
        assert not ran, "the quiet one waits for the first, the other does not overtake it"
    late.join(0.3)
    assert ran == ["quiet"]
    may_end.set()
    for thread in (waiting, late):
        thread.join(10)
    assert ran == ["quiet", "quiet is over", "other"]


def test_a_stretch_of_tests_is_one_turn(tmp_path: Path) -> None:
    turns, ran = Turns(tmp_path / "floor", tmp_path / "door"), list[str]()
    for path in (turns.floor, turns.door):
        path.touch()
    mine = Turn(turns)

    def quiet() -> None:
        with turns.turn(alone=True):
            ran.append("quiet")

    mine.take("a module", alone=False)
    waiting = _started(quiet)
    mine.take("a module", alone=False)
    waiting.join(0.3)
    assert not ran, "services that tests of a module share are not kept waiting between them"
    mine.take("the next module", alone=False)
    assert ran == ["quiet"], "whoever waited at the door goes first"
    mine.leave()
    waiting.join(10)


def _started(target: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    thread.join(0.3)  # long enough to reach the door
    return thread
