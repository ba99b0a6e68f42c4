"""The right edge of an RFC 9162 tree: enough to append and to know the root, in O(log n) memory."""

from dataclasses import dataclass

from lucid.evidence import merkle


@dataclass(frozen=True, slots=True)
class Frontier:
    """An append-only hash tree as an immutable value. Appending makes another; proofs need `merkle.Tree`."""

    size: int = 0
    """Leaves so far."""
    peaks: tuple[bytes, ...] = ()
    """Roots of the complete subtrees from left to right: one for each bit that is set in `size`."""

    def append(self, leaf: bytes) -> "Frontier":
        """Return the tree with one more leaf hash."""
        node, peaks, size = leaf, self.peaks, self.size
        while size & 1:
            node, peaks, size = merkle.node_hash(peaks[-1], node), peaks[:-1], size >> 1
        return Frontier(self.size + 1, (*peaks, node))

    def root(self) -> bytes:
        """Return the root of all leaves (RFC 9162, section 2.1.1)."""
        if not self.peaks:
            return merkle.EMPTY_ROOT
        *left, node = self.peaks
        for peak in reversed(left):
            node = merkle.node_hash(peak, node)
        return node
