"""Transactions: the batches in which entries come to the chain, and how a header commits to them."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

import msgspec

from lucid.evidence import canonical, merkle
from lucid.evidence.fields import Digest, Record


class TransactionRecord(Record, frozen=True, kw_only=True):
    """What a transaction's hash covers."""

    v: Literal[1] = 1
    """Version of this record."""
    kind: Literal["session_anchor"] = "session_anchor"
    entries: Annotated[tuple[Digest, ...], msgspec.Meta(min_length=1)]
    """Leaf hashes of the log entries, in the order in which the log takes them."""


def transaction_hash(entries: Sequence[str]) -> bytes:
    """Return SHA-256(0x00 || canonical JSON of the record): the transaction's leaf hash, and its name."""
    return merkle.leaf_hash(canonical.encode(TransactionRecord(entries=tuple(entries))))


def transactions_root(transactions: Iterable[Sequence[str]]) -> str:
    """Return the header's `transactions_root` for these transactions, each given as its entries' hashes."""
    return merkle.root(transaction_hash(entries) for entries in transactions).hex()
