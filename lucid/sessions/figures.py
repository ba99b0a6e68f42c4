"""The figures of one session, from its leaves, its manifest, and when its chunks arrived."""

import math
from collections.abc import Sequence

from lucid.contracts.session_api import ChunkDelays
from lucid.evidence.leaf import Leaf
from lucid.evidence.manifest import Gap, Manifest
from lucid.sessions.closing import holes


def span_ms(leaves: Sequence[Leaf]) -> int:
    """From the beginning of the first chunk to the end of the last, gaps included, milliseconds."""
    return max(leaf.end_ms for leaf in leaves) - min(leaf.start_ms for leaf in leaves) if leaves else 0


def ratio(leaves: Sequence[Leaf]) -> float | None:
    """Recorded bytes for each byte stored; None without chunks."""
    sealed = sum(leaf.sealed_size for leaf in leaves)
    return round(sum(leaf.plain_size for leaf in leaves) / sealed, 3) if sealed else None


def gaps(leaves: Sequence[Leaf], manifest: Manifest | None) -> tuple[Gap, ...]:
    """The gaps that the manifest names; until there is one, those that the stored chunks show."""
    return manifest.gaps if manifest else holes(list(leaves))


def delays(leaves: Sequence[Leaf], stored_ms: Sequence[int]) -> ChunkDelays | None:
    """How long after their last frame the chunks were stored; None without chunks.

    The recorder's clock tells the one time and the storage's the other: where they differ, so do these.
    """
    waited = sorted(
        stored - leaf.end_ms
        for leaf, stored in zip(leaves, stored_ms, strict=False)  # a chunk may have come in between
    )
    if not waited:
        return None
    return ChunkDelays(
        median_ms=_rank(waited, 0.5), p95_ms=_rank(waited, 0.95), longest_ms=_rank(waited, 1.0)
    )


def unanchored_ms(leaves: Sequence[Leaf], anchored: int, now_ms: int) -> int:
    """Age of the oldest chunk that no final anchor covers, of which there are `anchored`; else 0."""
    return max(0, now_ms - leaves[anchored].end_ms) if anchored < len(leaves) else 0


def _rank(ordered: Sequence[int], share: float) -> int:
    """The nearest-rank percentile."""
    return ordered[math.ceil(share * len(ordered)) - 1]
