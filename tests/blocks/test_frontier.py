"""The right edge of the log's tree."""

from hypothesis import given
from hypothesis import strategies as st

from lucid.blocks.frontier import Frontier
from lucid.evidence import merkle

LEAVES = st.lists(st.binary(max_size=8), max_size=70)


@given(LEAVES)
def test_it_has_the_root_of_the_whole_tree_at_every_size(data: list[bytes]) -> None:
    frontier, tree = Frontier(), merkle.Tree()
    assert frontier.root() == tree.root()
    for item in data:
        leaf = merkle.leaf_hash(item)
        frontier = frontier.append(leaf)
        tree.append(leaf)
        assert (frontier.size, frontier.root()) == (len(tree), tree.root())


@given(LEAVES)
def test_it_keeps_one_hash_for_each_bit_of_its_size(data: list[bytes]) -> None:
    frontier = Frontier()
    for item in data:
        frontier = frontier.append(merkle.leaf_hash(item))
    assert len(frontier.peaks) == len(data).bit_count()


def test_appending_leaves_the_old_value_as_it_was() -> None:
    old = Frontier().append(merkle.leaf_hash(b"one"))
    before = old.root()
    old.append(merkle.leaf_hash(b"two"))
    assert (old.size, old.root()) == (1, before)
