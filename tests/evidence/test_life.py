"""Statements about a recording after its session."""

from typing import Any

import pytest

from lucid.evidence import log, statements
from lucid.evidence.errors import FormatError
from lucid.evidence.life import MAX_BACKUP_MS, Access, Erasure, Hold, Violation
from lucid.evidence.statements import Statement
from tests.evidence.world import SESSION, START_MS, private_key, public_key

KEY = private_key("life", "closer")
ACCESS: dict[str, Any] = {
    "session": SESSION, "who": "ada", "what": "replay", "start_ms": 1, "end_ms": 2, "time_ms": START_MS,
}  # fmt: skip
HOLD: dict[str, Any] = {
    "session": SESSION, "held": True, "who": "ada", "reason": "case 7", "time_ms": START_MS,
}  # fmt: skip
VIOLATION: dict[str, Any] = {
    "session": SESSION, "kind": "recorder_lost", "detail": "gone for 10 s", "time_ms": START_MS,
}  # fmt: skip
ERASURE: dict[str, Any] = {
    "session": SESSION, "reason": "request", "time_ms": START_MS,
    "backups_until_ms": START_MS + MAX_BACKUP_MS,
}  # fmt: skip


@pytest.mark.parametrize(
    "statement", [Access(**ACCESS), Hold(**HOLD), Erasure(**ERASURE), Violation(**VIOLATION)]
)
def test_a_statement_comes_back_as_it_was_signed(statement: Statement) -> None:
    envelope = log.parse_entry(statements.sign(statement, KEY))
    assert statements.verify(envelope, type(statement), public_key(KEY)) == statement


def test_no_kind_can_be_taken_for_another() -> None:
    assert len({kind.PAYLOAD_TYPE for kind in (Access, Hold, Erasure, Violation)}) == 4


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (Access, ACCESS | {"end_ms": 0}, "end_ms is before start_ms"),
        (Access, ACCESS | {"what": "theft"}, "what"),
        (Access, ACCESS | {"who": "two\nlines"}, "who"),
        (Hold, HOLD | {"reason": ""}, "reason"),
        (Hold, HOLD | {"held": 1}, "held"),
        (Erasure, ERASURE | {"reason": "mood"}, "reason"),
        (Violation, VIOLATION | {"kind": "mood"}, "kind"),
        (Violation, VIOLATION | {"detail": ""}, "detail"),
        (Violation, VIOLATION | {"detail": "x" * 201}, "detail"),
        (Violation, VIOLATION | {"detail": "two\nlines"}, "detail"),
        (Violation, VIOLATION | {"detail": "a line\n"}, "detail"),
        (Erasure, ERASURE | {"backups_until_ms": START_MS - 1}, "30 days"),
        (Erasure, ERASURE | {"backups_until_ms": START_MS + MAX_BACKUP_MS + 1}, "30 days"),
    ],
)
def test_what_breaks_a_field_is_refused(kind: type[Statement], fields: dict[str, Any], message: str) -> None:
    def sign() -> bytes:
        return statements.sign(kind(**fields), KEY)

    with pytest.raises((FormatError, ValueError), match=message):
        sign()
