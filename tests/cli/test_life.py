"""What `lucid access` makes of the entries."""

from lucid.cli import life
from lucid.cli.output import out
from lucid.contracts.session_access import Accesses, AccessRow

HASH = "0" * 64


def test_a_violation_is_shown_with_its_kind_and_what_was_seen() -> None:
    seen = AccessRow(
        entry=HASH, what="violation", time_ms=1, state="final", reason="agent_lost", detail="silent [5 s]"
    )
    with out.capture() as shown:
        life._show(Accesses((seen,), None))
    words = " ".join(shown.get().split())
    assert "violation" in words
    assert "agent_lost: silent [5 s]" in words
