"""Bundles that disclose chunks with their keys: honest ones, and ones whose recorder anchored a forgery."""

import hashlib
from typing import Any

import msgspec
import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lucid.evidence import sealing
from lucid.evidence.bundle import ChunkKey
from lucid.evidence.leaf import ChunkId, Codec, Leaf
from tests.evidence.world import SESSION, World
from tests.forgeries.forging import Evidence, Members, archive_of
from tests.verifier.both import trust_of

Chunks = list[tuple[Leaf, bytes]]
TEXT = b"a line of a log that compresses well\n" * 40
FRAME = zstandard.compress(TEXT)
_SALT, _NONCE, _KEY = bytes(range(32)), bytes(range(32, 64)), bytes(range(64, 96))
_CHUNK = ChunkId(SESSION, 0, 0)
OF_NOTHING = hashlib.sha256(_NONCE).hexdigest()
"""The raw commitment to no recording at all."""


def keys_of(world: World, chunks: Chunks) -> tuple[ChunkKey, ...]:
    """The keys that open these chunks."""
    return tuple(
        ChunkKey(track=leaf.track, index=leaf.index, key=sealing.chunk_key(world.session_key, data).hex())
        for leaf, data in chunks
    )


def disclosure(world: World, chunks: Chunks) -> bytes:
    """The bundle that hands out these chunks."""
    return world.bundle(chunks=chunks, keys=keys_of(world, chunks))


def with_keys(members: Members, *contents: bytes) -> bytes:
    """The bundle with these contents, each as a `keys.json` in the place that belongs to it."""
    kept = [member for member in members if member[0] != "keys.json"]
    place = [name for name, _ in kept].index("leaves.jsonl") + 1
    return archive_of([*kept[:place], *(("keys.json", content) for content in contents), *kept[place:]])


def keys_of_size(size: int) -> bytes:
    """A well-formed `keys.json` of that many bytes."""
    key = b'{"index":%d,"key":"' + b"0" * 64 + b'","track":0}'
    count, rest = divmod(size - len(b'{"keys":[') - len(b"]}") + 1, len(key % 1) + 1)
    return b'{"keys":[%b]}' % b",".join(key % (10 if number < rest else 1) for number in range(count))


def sealed_by_hand(
    payload: bytes,
    *,
    codec: Codec = "zstd",
    sealed_for: Codec | None = None,
    plain_size: int = len(TEXT),
    nonce: bytes = _NONCE,
    **leaf: Any,
) -> Evidence:
    """A disclosure of one chunk with whatever payload, which its recorder anchored as a sealing of `TEXT`.

    Key, cipher and proofs are right, unless it is sealed for another codec than the leaf's; `leaf` has fields
    in which the leaf says something else.
    """
    key, commitment = sealing._chunk_keys(_KEY, _CHUNK)
    extra = sealing._additional_data(_CHUNK, sealed_for or codec, plain_size)
    data = _SALT + AESGCM(key).encrypt(bytes(12), nonce + payload, extra)
    fields = {
        "codec": codec,
        "plain_size": plain_size,
        "sealed_size": len(data),
        "sealed_sha256": hashlib.sha256(data).hexdigest(),
        "key_commitment": commitment.hex(),
        "raw_commitment": hashlib.sha256(_NONCE + TEXT).hexdigest(),
    }

    def exchange(leaves: list[Leaf]) -> list[Leaf]:
        return [msgspec.structs.replace(leaves[0], **fields | leaf)]

    world = World(chunks=1, sound_chunks=0, anchored=(0, 1), leaf_changes=exchange)
    keys = (ChunkKey(track=0, index=0, key=_KEY.hex()),)
    return Evidence(world.bundle(chunks=[(world.leaves[0], data)], keys=keys), trust_of(world))
