"""What tests of the verification share."""

import io
from typing import Any

from lucid.evidence.steps import STEPS, Outcome, Report
from lucid.evidence.verify import verify
from tests.evidence.world import World

LOST: dict[str, Any] = {
    "end_reason": "recorder_lost",
    "registered": {"recorder": "recorder", "closer": "closer"},
}
"""Options of a world whose recorder vanished."""
CLEAN = World()
"""A world in which everything holds; not to be changed."""


def check(world: World, data: bytes | None = None, **options: Any) -> Report:
    return verify(io.BytesIO(world.bundle() if data is None else data), world.trust, **options)


def failed_step(report: Report) -> str:
    """The name of the step that failed, having made sure that the report is that of a refusal."""
    assert report.outcome is Outcome.REFUSED
    assert report.failure is not None
    number = len(report.steps)
    assert report.failure.number == number
    assert report.failure.meaning == STEPS[number - 1].meaning
    assert all(step.status != "failed" for step in report.steps[:-1])
    return report.failure.name
