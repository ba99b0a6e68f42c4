"""Which chunks a stretch takes, and the keys that open these and no others."""

import asyncio
from collections.abc import Iterable, Sequence

from lucid.contracts import chunk_processor as processor
from lucid.contracts.types import ChunkPath
from lucid.evidence.bundle import ChunkKey
from lucid.evidence.leaf import Leaf
from lucid.kit.client import ServiceClient
from lucid.kit.errors import Code, Invalid, NotFound
from lucid.sessions.recording_state import PICTURE

KEYS_AT_ONCE = 8


def select(leaves: Sequence[Leaf], start_ms: int, end_ms: int) -> list[Leaf]:
    """The chunks that hold anything of the time from `start_ms` to before `end_ms`, in their order.

    Raises Invalid 1004 where there are none.
    """
    found = [
        leaf for leaf in leaves if leaf.start_ms < end_ms and max(leaf.end_ms, leaf.start_ms + 1) > start_ms
    ]
    if not found:
        raise Invalid(
            f"start_ms, end_ms: nothing was recorded from {start_ms} to {end_ms};"
            f" the recording is from {min(leaf.start_ms for leaf in leaves)}"
            f" to {max(leaf.end_ms for leaf in leaves)}"
            if leaves
            else "the recording has no chunks",
            code=Code.OUT_OF_RANGE,
        )
    return found


def pictures(stored: Iterable[Leaf], first: int, limit: int) -> list[Leaf]:
    """At most `limit` chunks of the picture from the one with index `first` on. Raises NotFound."""
    of_it = [leaf for leaf in stored if leaf.track == PICTURE]
    found = [leaf for leaf in of_it if first <= leaf.index < first + limit]
    if not found:
        raise NotFound(f"first: the picture has {len(of_it)} chunks so far, counted from 0")
    return found


async def keys(client: ServiceClient, leaves: Sequence[Leaf]) -> tuple[ChunkKey, ...]:
    """The key of each of these chunks, in their order."""
    turns = asyncio.Semaphore(KEYS_AT_ONCE)

    async def key(leaf: Leaf) -> ChunkKey:
        async with turns:
            path = ChunkPath(leaf.session, leaf.track, leaf.index)
            found = await client.call(processor.DISCLOSE, path)
        return ChunkKey(track=leaf.track, index=leaf.index, key=found.key)

    return tuple(await asyncio.gather(*map(key, leaves)))
