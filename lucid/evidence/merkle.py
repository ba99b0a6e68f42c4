"""The Merkle hash tree of RFC 9162, section 2.1, with SHA-256.

A leaf is hashed with the prefix 0x00 and an inner node with 0x01, so that neither passes for the other. The
proof checks are the iterative algorithms of sections 2.1.3.2 and 2.1.4.2. All hashes are 32 raw bytes.
"""

import hashlib
from collections.abc import Iterable, Sequence

from lucid.evidence.errors import ProofError

HASH_SIZE = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 || data)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """An append-only tree of leaf hashes; every earlier size stays provable.

    Level k keeps, one after the other, the roots of all complete subtrees of 2^k leaves: about 64 bytes per
    leaf in all. Appending costs two hashes on average; roots and proofs cost O(log n).
    """

    def __init__(self, leaf_hashes: Iterable[bytes] = ()) -> None:
        self._levels: list[bytearray] = [bytearray()]
        for item in leaf_hashes:
            self.append(item)

    def __len__(self) -> int:
        return len(self._levels[0]) // HASH_SIZE

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash at the end."""
        if len(leaf) != HASH_SIZE:
            raise ProofError(f"a leaf hash has {HASH_SIZE} bytes, not {len(leaf)}")
        node, level = leaf, 0
        while True:
            if level == len(self._levels):
                self._levels.append(bytearray())
            row = self._levels[level]
            row += node
            if len(row) // HASH_SIZE % 2:
                return
            node = node_hash(bytes(row[-2 * HASH_SIZE : -HASH_SIZE]), node)
            level += 1

    def root(self, size: int | None = None) -> bytes:
        """Return the root of the first `size` leaves (all of them by default)."""
        size = len(self) if size is None else size
        self._require(0 <= size <= len(self), f"size {size} is not within 0..{len(self)}")
        return self._subroot(0, size) if size else EMPTY_ROOT

    def inclusion_proof(self, index: int, size: int | None = None) -> list[bytes]:
        """Return the path from leaf `index` to the root of the first `size` leaves (RFC 9162, 2.1.3.1)."""
        size = len(self) if size is None else size
        self._require(0 <= index < size <= len(self), f"no leaf {index} in {size} of {len(self)} leaves")
        proof = []
        start, end = 0, size
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                proof.append(self._subroot(middle, end))
                end = middle
            else:
                proof.append(self._subroot(start, middle))
                start = middle
        return proof[::-1]

    def consistency_proof(self, first: int, second: int | None = None) -> list[bytes]:
        """Return the proof that the first `second` leaves begin with the first `first` (RFC 9162, 2.1.4.1).

        It is empty when `first` is 0 or equals `second`: nothing, or the same, needs no proof.
        """
        second = len(self) if second is None else second
        self._require(0 <= first <= second <= len(self), f"no sizes {first}, {second} in {len(self)} leaves")
        if first in {0, second}:
            return []
        proof = []
        start, end = 0, second
        while first != end:
            middle = start + _split(end - start)
            if first <= middle:
                proof.append(self._subroot(middle, end))
                end = middle
            else:
                proof.append(self._subroot(start, middle))
                start = middle
        if start > 0:
            proof.append(self._subroot(start, end))
        return proof[::-1]

    def _subroot(self, start: int, end: int) -> bytes:
        """Root of leaves `start` to `end`, a subtree of the RFC's recursion, from its complete subtrees."""
        pieces = []
        while start < end:
            level = (end - start).bit_length() - 1
            position = (start >> level) * HASH_SIZE
            pieces.append(bytes(self._levels[level][position : position + HASH_SIZE]))
            start += 1 << level
        root = pieces.pop()
        while pieces:
            root = node_hash(pieces.pop(), root)
        return root

    @staticmethod
    def _require(holds: bool, problem: str) -> None:
        if not holds:
            raise ProofError(problem)


def root(leaf_hashes: Iterable[bytes]) -> bytes:
    """Return the root of these leaf hashes (RFC 9162, 2.1.1)."""
    return Tree(leaf_hashes).root()


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected: bytes) -> None:
    """Check that leaf hash `leaf` is at `index` of the `size` leaves under root `expected`.

    Raise ProofError if not, or if the proof is longer or shorter than it has to be (RFC 9162, 2.1.3.2).
    """
    if not 0 <= index < size:
        raise ProofError(f"leaf {index} is not in a tree of {size}")
    _check_hashes(leaf, expected, *proof)
    position, last, node = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofError("the inclusion proof is too long")
        if position & 1 or position == last:
            node = node_hash(sibling, node)
            position, last = _climb_right_edge(position, last)
        else:
            node = node_hash(node, sibling)
        position, last = position >> 1, last >> 1
    if last:
        raise ProofError("the inclusion proof is too short")
    if node != expected:
        raise ProofError(f"the inclusion proof of leaf {index} leads to another root")


def verify_consistency(
    first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the tree of `second` leaves begins with the tree of `first` leaves.

    Raise ProofError if not, or if the proof is longer or shorter than it has to be (RFC 9162, 2.1.4.2).
    """
    if not 0 <= first <= second:
        raise ProofError(f"a tree of {second} cannot extend one of {first}")
    _check_hashes(first_root, second_root, *proof)
    if first in {0, second}:
        _verify_same(first, first_root, second_root if first else EMPTY_ROOT, proof)
        return
    # A complete first tree is itself a node of the second, so the proof does not repeat its root.
    path = list(proof) if first & (first - 1) else [first_root, *proof]
    if not path:
        raise ProofError("the consistency proof is too short")
    complete_levels = (first & -first).bit_length() - 1
    position, last = (first - 1) >> complete_levels, (second - 1) >> complete_levels
    old = new = path[0]
    for node in path[1:]:
        if last == 0:
            raise ProofError("the consistency proof is too long")
        if position & 1 or position == last:
            old, new = node_hash(node, old), node_hash(node, new)
            position, last = _climb_right_edge(position, last)
        else:
            new = node_hash(new, node)
        position, last = position >> 1, last >> 1
    if last:
        raise ProofError("the consistency proof is too short")
    if old != first_root or new != second_root:
        raise ProofError(f"the tree of {second} does not begin with the tree of {first}")


def _verify_same(size: int, actual: bytes, expected: bytes, proof: Sequence[bytes]) -> None:
    if proof:
        raise ProofError("the consistency proof is too long")
    if actual != expected:
        raise ProofError(f"two different roots for one tree of {size}")


def _climb_right_edge(position: int, last: int) -> tuple[int, int]:
    """Climb past the levels at which a node on the ragged right edge has no sibling of its own."""
    while not position & 1 and position:
        position, last = position >> 1, last >> 1
    return position, last


def _split(size: int) -> int:
    """The largest power of two smaller than `size`."""
    return 1 << (size - 1).bit_length() - 1


def _check_hashes(*hashes: bytes) -> None:
    for item in hashes:
        if len(item) != HASH_SIZE:
            raise ProofError(f"a hash has {HASH_SIZE} bytes, not {len(item)}")
