"""How a proposer makes a block of what waits: first come, first sealed, until the block is full."""

from collections.abc import Iterable
from dataclasses import dataclass

from lucid.blocks.entries import LogEntry, Refused
from lucid.blocks.state import (
    MAX_BLOCK_BYTES,
    MAX_TRANSACTION_ENTRIES,
    MAX_TRANSACTIONS,
    ChainState,
    apply_entry,
)
from lucid.blocks.transactions import transactions_root
from lucid.evidence import block
from lucid.evidence.block import Header


@dataclass(frozen=True, slots=True)
class Waiting:
    """An entry that waits for a block."""

    transaction: str
    """Hash of the transaction that it came with."""
    entry: LogEntry


@dataclass(frozen=True, slots=True)
class Proposal:
    """A block to be voted on, and the entries that will never be in one as things stand."""

    header: Header
    transactions: tuple[tuple[LogEntry, ...], ...]
    refused: dict[str, str]
    """By entry hash, the reason."""


def propose(
    parent: Header, state: ChainState, waiting: Iterable[Waiting], *, proposer: str, time_ms: int
) -> Proposal:
    """Return the next block after `parent`: of `waiting`, in order, what the rules allow and the limits hold.

    `state` is the state before the block. Neighbours that came in one transaction stay in one transaction.
    """
    transactions: list[list[LogEntry]] = []
    refused: dict[str, str] = {}
    current, size = "", 0
    for item in waiting:
        begins = item.transaction != current or len(transactions[-1]) == MAX_TRANSACTION_ENTRIES
        full = size + len(item.entry.data) > MAX_BLOCK_BYTES
        if full or (begins and len(transactions) == MAX_TRANSACTIONS):
            break
        try:
            state = apply_entry(state, item.entry)
        except Refused as reason:
            refused[item.entry.hash] = str(reason)
            continue
        if begins:
            transactions.append([])
        transactions[-1].append(item.entry)
        current, size = item.transaction, size + len(item.entry.data)
    header = Header(
        chain=parent.chain,
        height=parent.height + 1,
        previous=block.block_hash(parent),
        time_ms=time_ms,
        proposer=proposer,
        transactions_root=transactions_root([entry.hash for entry in group] for group in transactions),
        transaction_count=len(transactions),
        log_size=state.log.size,
        log_root=state.log.root().hex(),
    )
    return Proposal(header, tuple(tuple(group) for group in transactions), refused)
