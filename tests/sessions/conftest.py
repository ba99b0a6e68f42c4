"""Fixtures of the session cluster's tests."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from lucid.sessions.x11_connection import X11Connection
from tests.deployment import Deployment, deployment
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
