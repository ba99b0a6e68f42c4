"""Thousands of requests by the OpenAPI document, and against it, to the whole deployment: all checks hold."""

import os
from pathlib import Path

import pytest

from tests.api.conftest import Front
from tests.api.schemathesis import hold_to_the_document
from tests.faults.seeds import seeded

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

EXAMPLES = int(os.environ.get("LUCID_SOAK_EXAMPLES", "100"))
"""At most so many for each operation and kind of test: some ten thousand requests in all."""


async def test_every_operation_keeps_to_the_document(
    front: Front, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        seed = seeded("soak: requests by the OpenAPI document").randrange(2**31)
    report = await hold_to_the_document(front, tmp_path, seed=seed, examples=EXAMPLES, seconds=3500)
    capsys.readouterr()  # the services' logs of all these requests
    with capsys.disabled():
        print(report)  # noqa: T201 - what was asked, and how often
