"""Certificates for the kit's tests."""

from pathlib import Path

import pytest

from tests.kit import parrot
from tests.kit.live import House


@pytest.fixture
def house(tmp_path: Path) -> House:
    """The parrot, one that may call it, one that may not, and an observer."""
    return House(
        tmp_path / "tls", parrot.SERVICE, parrot.CALLER, parrot.OTHER_CALLER, parrot.STRANGER, "prometheus"
    )
