"""Fixtures of the session cluster's tests."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from lucid.sessions.x11_connection import X11Connection
from tests.deployment import Deployment, deployment
from tests.sessions.ears import Ear
from tests.sessions.painter import BLACK, Painter
from tests.sessions.screens import Screen, StartScreen, screens


@pytest.fixture
async def house(tmp_path: Path, mongodb_url: str, redis_url: str) -> AsyncIterator[Deployment]:
    """Services on empty databases; each test starts the ones that it needs."""
    async with deployment(tmp_path, mongodb_url, redis_url) as made:
        yield made


@pytest.fixture
def start_screen(tmp_path: Path) -> Iterator[StartScreen]:
    """Starts X servers."""
    with screens(tmp_path) as starter:
        yield starter


@pytest.fixture
def screen(start_screen: StartScreen) -> Screen:
    """An X server with a small screen."""
    return start_screen("640x480")


@pytest.fixture
def painter(screen: Screen) -> Iterator[Painter]:
    """Draws on that screen, which is black; the pointer is near its lower right corner."""
    with X11Connection(screen.number, screen.cookie) as connection:
        painter = Painter(connection)
        painter.paint(BLACK)
        painter.point(600, 400)
        yield painter


@pytest.fixture
def start_ear(screen: Screen) -> Iterator[Callable[..., Ear]]:
    """Starts listeners."""
    ears: list[Ear] = []

    def start(*what: str) -> Ear:
        ears.append(Ear(screen, *what))
        return ears[-1]

    yield start
    for ear in ears:
        ear.end()
        for pipe in (ear.process.stdout, ear.process.stderr):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def ear(start_ear: Callable[..., Ear]) -> Ear:
    return start_ear("input", "clipboard")
