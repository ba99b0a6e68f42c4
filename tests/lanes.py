"""Two lanes for `make test`: the tests of the deployed site in one, all others in the other.

Most tests wait more than they compute, so that two lanes fill the processors that one leaves idle. Tests
that measure time are marked `quiet`: nothing else runs while one of them does. Whoever waits for that stands
still, and with it the services that its process has for the tests of a module. So turns change between
modules; in the lane of the site, whose services are elsewhere, between tests. Hooks for tests/conftest.py.
"""

import fcntl
from collections.abc import Generator, Hashable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from xdist.remote import Producer  # type: ignore[import-untyped] # has no py.typed
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped] # has no py.typed

HERE = Path(__file__).parent
PATIENT = frozenset(
    {
        *("api", "auth", "blocks", "cli", "deploy", "evidence", "forgeries", "fuzz", "journey", "roles"),
        "verifier",
    }
)
"""Directories whose tests come first: they mind a deployment beside them least."""


@dataclass(frozen=True)
class Turns:
    """Who may run beside whom, across processes."""

    floor: Path
    """Locked shared by every test that runs, alone by a quiet one."""
    door: Path
    """Locked on the way to the floor: a quiet test that waits there is not overtaken for ever."""

    @contextmanager
    def turn(self, *, alone: bool) -> Iterator[None]:
        """Waits until a test may run."""
        with ExitStack() as stack:
            with _locked(self.door, fcntl.LOCK_EX):
                stack.enter_context(_locked(self.floor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH))
            yield


@contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    with path.open(encoding="utf-8") as file:
        fcntl.flock(file, how)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # closing is not enough where a child process has it open too


class Turn:
    """The turn of this process, kept from test to test."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._held = ExitStack()
        self._stretch: Hashable = None

    def take(self, stretch: Hashable, *, alone: bool) -> None:
        """Waits until tests of this stretch may run; it is a turn of its own."""
        if stretch != self._stretch:
            self.leave()
            self._held.enter_context(self._turns.turn(alone=alone))
            self._stretch = stretch

    def leave(self) -> None:
        """Lets others go on."""
        self._held.close()
        self._stretch = None


TURN = Turn(Turns(HERE / "conftest.py", Path(__file__)))


class Lanes(LoadScopeScheduling):  # type: ignore[misc] # it is untyped
    """Hands out tests by lane."""

    def _split_scope(self, nodeid: str) -> str:
        return "site" if nodeid.startswith("tests/site/") else "here"


def _directory(item: pytest.Item) -> str:
    return item.path.relative_to(HERE).parts[0] if item.path.is_relative_to(HERE) else ""


def _quiet(item: pytest.Item) -> bool:
    return item.get_closest_marker("quiet") is not None


def _place(item: pytest.Item) -> int:
    """Quiet tests come last, when a deployment is over; those of the site stay with their neighbours."""
    if _directory(item) == "site":
        return 3
    return 2 if _quiet(item) else 0 if _directory(item) in PATIENT else 1


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Lanes:
    return Lanes(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_place)


def _stretch(item: pytest.Item) -> Hashable:
    """Tests between which nobody else gets the turn."""
    return item.nodeid if _directory(item) == "site" else (item.path, _quiet(item))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, object, object]:
    TURN.take(_stretch(item), alone=_quiet(item))
    try:
        return (yield)
    finally:
        if nextitem is None or _stretch(nextitem) != _stretch(item):
            TURN.leave()
