"""Long runs, left out unless asked for: `make soak`, or pytest -m soak."""

import os

import pytest

from tests.api.conftest import front
from tests.gateway.conftest import certificates, deployment
from tests.site.conftest import site

__all__ = ["certificates", "deployment", "front", "site"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "soak: takes hours if let; LUCID_SOAK_ROUNDS says how long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "soak" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("soak")]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture
def rounds() -> int:
    """How often to repeat, LUCID_SOAK_ROUNDS; 100 makes hundreds of recordings and takes about an hour."""
    return int(os.environ.get("LUCID_SOAK_ROUNDS", "100"))
