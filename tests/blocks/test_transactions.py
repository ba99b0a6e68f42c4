"""How a header commits to transactions."""

from lucid.blocks.transactions import transaction_hash, transactions_root
from lucid.evidence import merkle

A, B = "a" * 64, "b" * 64


def test_a_transaction_is_the_leaf_hash_of_its_canonical_record() -> None:
    record = b'{"entries":["%b","%b"],"kind":"session_anchor","v":1}' % (A.encode(), B.encode())
    assert transaction_hash([A, B]) == merkle.leaf_hash(record)


def test_order_and_grouping_are_committed_to() -> None:
    roots = [transactions_root(groups) for groups in ([[A, B]], [[B, A]], [[A], [B]], [[B], [A]])]
    assert len(set(roots)) == 4


def test_no_transaction_gives_the_empty_root() -> None:
    assert transactions_root([]) == merkle.EMPTY_ROOT.hex()
