"""The rules of what is kept: pure."""

import pytest

from lucid.kit.errors import Conflict, NotFound
from lucid.kit.mongo import Document
from lucid.sessions.retention import DAY_MS, expires_ms, require_erasable, require_kept
from lucid.sessions.states import SESSION


def session(**changes: object) -> Document:
    return {
        "_id": "s",
        "state": "completed",
        "created_ms": 1000,
        "ended_ms": 5000,
        "retention_days": 30,
        "held": False,
        "erasing_ms": None,
        **changes,
    }


def test_time_runs_from_the_end_or_else_from_the_creation() -> None:
    assert expires_ms(session()) == 5000 + 30 * DAY_MS
    assert expires_ms(session(ended_ms=None, retention_days=1)) == 1000 + DAY_MS


@pytest.mark.parametrize("state", sorted(SESSION.transitions))
def test_only_what_has_ended_may_be_erased(state: str) -> None:
    if state in {"completed", "failed"}:
        require_erasable(session(state=state))
    else:
        with pytest.raises(Conflict, match=f"the session is {state}"):
            require_erasable(session(state=state))


def test_a_hold_wins() -> None:
    with pytest.raises(Conflict, match="legal hold"):
        require_erasable(session(held=True))


def test_what_is_about_to_be_erased_is_not_handed_out() -> None:
    require_kept(session())
    with pytest.raises(NotFound, match="was erased"):
        require_kept(session(erasing_ms=1))
