"""What a bundle discloses: the chunks whose keys it holds."""

from collections.abc import Iterator
from contextlib import suppress

from lucid.evidence import leaf, sealing
from lucid.evidence.bundle import BundleReader, Parts
from lucid.evidence.errors import FormatError, SealError
from lucid.evidence.leaf import Leaf

Opener = tuple[Leaf, bytes]
"""A chunk's leaf and its key."""


def openers(parts: Parts) -> dict[tuple[int, int], Opener]:
    """Return leaf and key of each disclosed chunk by track and index; none for a leaf that is malformed."""
    keys = {(item.track, item.index): bytes.fromhex(item.key) for item in parts.keys}
    found = {}
    for data in parts.leaves if keys else ():
        with suppress(FormatError):
            item = leaf.decode(data)
            if key := keys.get((item.track, item.index)):
                found[item.track, item.index] = (item, key)
    return found


def open_chunks(reader: BundleReader) -> Iterator[tuple[Leaf, bytes]]:
    """Yield each chunk of a bundle that discloses what it holds, opened; raise SealError if one is shut."""
    disclosed = openers(reader.parts)
    for chunk in reader.chunks():
        sealed = b"".join(chunk.pieces)
        opener = disclosed.get((chunk.track, chunk.index))
        if opener is None:
            raise SealError(f"the key of chunk {chunk.track}/{chunk.index} is not in the bundle")
        yield opener[0], sealing.open_with_chunk_key(opener[1], opener[0], sealed)
