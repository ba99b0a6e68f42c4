"""Fixtures of the session cluster's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.deployment import Deployment, deployment


@pytest.fixture
async def house(tmp_path: Path, mongodb_url: str, redis_url: str) -> AsyncIterator[Deployment]:
    """Services on empty databases; each test starts the ones that it needs."""
    async with deployment(tmp_path, mongodb_url, redis_url) as made:
        yield made
