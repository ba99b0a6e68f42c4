"""Runs Lucid's verifier and the second one over the same bytes, and requires that they agree."""

import io
from typing import NamedTuple

from lucid.evidence import trust as trust_files
from lucid.evidence.errors import FormatError
from lucid.evidence.verify import verify
from tests.evidence.world import World
from verifier import lucid_verify


class Verdict(NamedTuple):
    """What a verifier says: its exit code, and the number and name of the step that failed."""

    exit_code: int
    step: tuple[int, str] | None = None


def trust_of(world: World) -> bytes:
    """The trust file of a world, as an auditor has it."""
    return trust_files.encode(world.trust_file)


def _first(data: bytes, trust: bytes | None, against: bytes | None, newer_than_ms: int | None) -> Verdict:
    try:
        believed = None if trust is None else trust_files.parse(trust)
    except FormatError:
        return Verdict(2)
    report = verify(io.BytesIO(data), believed, against=against, newer_than_ms=newer_than_ms)
    failed = (report.failure.number, report.failure.name) if report.failure else None
    return Verdict(report.outcome.exit_code, failed)


def _second(data: bytes, trust: bytes | None, against: bytes | None, newer_than_ms: int | None) -> Verdict:
    try:
        believed = None if trust is None else lucid_verify.read_trust(trust)
    except lucid_verify.Refusal:
        return Verdict(2)
    outcome, findings = lucid_verify.verify(io.BytesIO(data), believed, against, newer_than_ms)
    last = findings[-1]
    assert "could not go on" not in last.detail, last.detail
    assert all(step.detail.isascii() and step.detail.isprintable() for step in findings)
    failed = (last.number, last.name) if last.status == "failed" else None
    return Verdict(lucid_verify.EXIT_CODES[outcome], failed)


def both(
    data: bytes, trust: bytes | None, *, against: bytes | None = None, newer_than_ms: int | None = None
) -> Verdict:
    """The verdict on which the two verifiers agree."""
    first = _first(data, trust, against, newer_than_ms)
    second = _second(data, trust, against, newer_than_ms)
    assert first == second, f"lucid verify: {first}; second verifier: {second}"
    return first
