"""Every forgery in the catalogue is refused at its step, with that step's meaning, for its own defect."""

import re

import pytest

from lucid.evidence.steps import STEPS, Outcome
from tests.evidence.verifying import CLEAN, failed_step
from tests.forgeries.catalogue import CATALOGUE, NAMED, OF_RECORDS
from tests.forgeries.forging import Evidence, Forgery
from tests.forgeries.records import GOOD, TRUST_FILE


def expect_refusal(forgery: Forgery) -> None:
    report = forgery.make().verify()
    assert report.outcome is forgery.outcome, forgery.name
    assert all(step.detail.isprintable() for step in report.steps), forgery.name
    if forgery.step:
        assert failed_step(report) == forgery.step, forgery.name
        assert re.search(forgery.detail, report.steps[-1].detail), forgery.name
    else:
        assert report.failure is None


@pytest.mark.parametrize("forgery", NAMED, ids=lambda forgery: forgery.name)
def test_a_forgery_is_refused_where_it_must_be(forgery: Forgery) -> None:
    expect_refusal(forgery)


@pytest.mark.parametrize("place", OF_RECORDS)
def test_a_record_with_any_field_altered_or_in_any_other_spelling_is_refused(place: str) -> None:
    for forgery in OF_RECORDS[place]:
        expect_refusal(forgery)


def test_what_they_are_all_made_from_is_verified() -> None:
    for evidence in (Evidence(CLEAN.bundle()), Evidence(GOOD, TRUST_FILE)):
        assert evidence.verify().outcome is Outcome.VERIFIED


def test_no_forgery_is_expected_to_be_verified_or_listed_twice() -> None:
    assert all(forgery.outcome is not Outcome.VERIFIED for forgery in CATALOGUE)
    assert len({forgery.name for forgery in CATALOGUE}) == len(CATALOGUE)


def test_every_step_refuses_something() -> None:
    assert {forgery.step for forgery in NAMED} >= {step.name for step in STEPS}
