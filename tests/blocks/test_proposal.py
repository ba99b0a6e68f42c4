"""Making a block of what waits."""

import pytest

from lucid.blocks import proposal
from lucid.blocks.entries import LogEntry
from lucid.blocks.proposal import Proposal, Waiting, propose
from lucid.blocks.state import apply_block
from lucid.evidence import block
from tests.blocks.world import START_MS, Signer, genesis, recording, session_id

RECORDER = Signer("recorder")
GENESIS, EMPTY = genesis("validator")
ENTRIES = [RECORDER.registration(), *recording(RECORDER, session_id(1), anchors=5)]


def make(waiting: list[Waiting]) -> Proposal:
    return propose(GENESIS, EMPTY, waiting, proposer="0" * 64, time_ms=START_MS + 1)


def in_transactions(sizes: list[int], entries: list[LogEntry]) -> list[Waiting]:
    names = [f"{number:064}" for number, size in enumerate(sizes) for _ in range(size)]
    return [Waiting(name, entry) for name, entry in zip(names, entries, strict=True)]


def test_entries_keep_their_order_and_their_transactions() -> None:
    made = make(in_transactions([1, 4, 2], ENTRIES))
    assert [len(group) for group in made.transactions] == [1, 4, 2]
    assert [entry for group in made.transactions for entry in group] == ENTRIES
    assert made.header.transaction_count == 3
    apply_block(GENESIS, EMPTY, made.header, made.transactions)


def test_the_header_continues_the_parent() -> None:
    header = make([]).header
    assert (header.height, header.previous) == (1, block.block_hash(GENESIS))
    assert (header.log_size, header.log_root) == (GENESIS.log_size, GENESIS.log_root)


def test_refused_entries_are_left_out_with_their_reasons() -> None:
    stray = RECORDER.anchor(session_id(2), 3)
    made = make(in_transactions([1, 2], [ENTRIES[0], stray, ENTRIES[1]]))
    assert set(made.refused) == {stray.hash}
    assert "first anchor has count 0" in made.refused[stray.hash]
    assert made.transactions == ((ENTRIES[0],), (ENTRIES[1],))


def test_a_full_block_leaves_the_rest_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposal, "MAX_BLOCK_BYTES", sum(len(entry.data) for entry in ENTRIES[:3]))
    made = make(in_transactions([7], ENTRIES))
    assert made.transactions == (tuple(ENTRIES[:3]),)
    assert not made.refused


def test_there_are_never_too_many_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposal, "MAX_TRANSACTIONS", 2)
    made = make(in_transactions([1] * 7, ENTRIES))
    assert [len(group) for group in made.transactions] == [1, 1]


def test_a_long_transaction_is_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposal, "MAX_TRANSACTION_ENTRIES", 3)
    made = make(in_transactions([7], ENTRIES))
    assert [len(group) for group in made.transactions] == [3, 3, 1]
