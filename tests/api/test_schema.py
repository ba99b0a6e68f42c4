"""The API keeps to its own document, for what it allows and what it does not."""

from pathlib import Path

import pytest

from tests.api.conftest import Front
from tests.api.schemathesis import hold_to_the_document
from tests.faults.seeds import seeded


@pytest.mark.timeout(240)
async def test_every_operation_keeps_to_the_document(front: Front, tmp_path: Path) -> None:
    seed = seeded("requests by the OpenAPI document").randrange(2**31)
    report = await hold_to_the_document(front, tmp_path, seed=seed, examples=10, seconds=220)
    assert "Operations" in report
