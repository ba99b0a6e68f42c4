"""Reading log entries."""

import pytest

from lucid.blocks.entries import Refused, entry_hash, parse
from lucid.evidence import merkle
from tests.blocks.world import Signer, genesis_entry, session_id

RECORDER = Signer("recorder")
SESSION = session_id(1)


def test_an_entry_is_named_by_its_leaf_hash() -> None:
    data = RECORDER.registration().data
    assert parse(data).hash == entry_hash(data) == merkle.leaf_hash(data).hex()


def test_each_kind_is_told_apart() -> None:
    entries = [
        RECORDER.registration(),
        RECORDER.anchor(SESSION, 0),
        RECORDER.manifest(SESSION, 0),
        RECORDER.access(SESSION),
        RECORDER.hold(SESSION),
        RECORDER.erasure(SESSION),
        RECORDER.violation(SESSION),
    ]
    kinds = ["registration", "anchor", "manifest", "access", "hold", "erasure", "violation"]
    assert [entry.kind for entry in entries] == kinds
    assert [entry.session for entry in entries] == [None, *[SESSION] * 6]
    assert {entry.signer for entry in entries} == {RECORDER.key_id}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "envelope"),
        (b"{}", "missing required field"),
        (b" " + RECORDER.registration().data, "canonical"),
        (RECORDER.registration().data.replace(b"registration", b"manifest"), "Manifest"),
        (genesis_entry("validator"), r"the log takes no '.*genesis\+json'"),
    ],
    ids=["empty", "not an envelope", "space before it", "another kind's payload", "a second genesis"],
)
def test_what_is_no_entry_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        parse(data)
