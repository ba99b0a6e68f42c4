"""Forgeries of the recording: chunks and leaves lost, moved, doubled or exchanged, and manifests to match."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec

from lucid.evidence import leaf, merkle, sealing
from lucid.evidence.leaf import Leaf
from lucid.evidence.manifest import Gap, InterimAnchor
from tests.evidence.verifying import CLEAN
from tests.evidence.world import CHUNK_MS, OTHER_SESSION, START_MS, World
from tests.forgeries.forging import Evidence, Forgery, Row, clean, of_world

Chunks = list[tuple[Leaf, bytes]]

CHUNKS = CLEAN.chunk_list
OTHER = World(seed="another recording of the same shape")
# The order of the leaves: tracks and indices 0/0 1/0 0/1 1/1 0/2 0/3 0/4 0/5.


def changed(item: Leaf, **changes: Any) -> Leaf:
    return msgspec.structs.replace(item, **changes)


def put(chunks: Chunks, position: int, *instead: tuple[Leaf, bytes]) -> Chunks:
    """Put any number of chunks in place of one."""
    return [*chunks[:position], *instead, *chunks[position + 1 :]]


def swapped(first: int, second: int) -> Chunks:
    chunks = CHUNKS.copy()
    chunks[first], chunks[second] = chunks[second], chunks[first]
    return chunks


def in_place_of(position: int, data: bytes) -> Chunks:
    """Other bytes under the name of a chunk; the leaves stay as they are."""
    name = changed(CHUNKS[position][0], codec="zstd", sealed_size=len(data))
    return put(CHUNKS, position, (name, data))


def named(position: int, **changes: Any) -> Chunks:
    """A chunk under another name; the leaves stay as they are."""
    item, data = CHUNKS[position]
    return put(CHUNKS, position, (changed(item, **changes), data))


def in_ranks(chunks: Chunks) -> Chunks:
    """Number each track's chunks from 0 without a hole."""
    counts: dict[int, int] = {}
    ranked = []
    for item, data in chunks:
        index = counts.get(item.track, 0)
        counts[item.track] = index + 1
        ranked.append((changed(item, index=index), data))
    return ranked


def at_the_true_times(chunks: Chunks) -> Chunks:
    return [
        (changed(item, start_ms=true.start_ms, end_ms=true.end_ms), data)
        for (item, data), true in zip(chunks, CLEAN.leaves, strict=True)
    ]


def edited(chunks: Chunks) -> Evidence:
    """The session with these leaves and chunks under the manifest that was signed before."""
    return clean(leaves=tuple(leaf.encode(item) for item, _ in chunks), chunks=chunks)


def sealed_again(position: int) -> bytes:
    """The true recording, sealed again: another salt, other bytes."""
    return bytes(
        sealing.seal(CLEAN.session_key, CHUNKS[position][0].chunk, CLEAN.raws[position], bytes(32)).data
    )


def resealed(position: int) -> tuple[Leaf, bytes]:
    """Another recording in place of the true one, and a leaf that is right for it."""
    item = CHUNKS[position][0]
    done = sealing.seal(CLEAN.session_key, item.chunk, b"nothing happened", bytes(32))
    return done.leaf(start_ms=item.start_ms, end_ms=item.end_ms), bytes(done.data)


def each(change: Callable[[Leaf], Leaf]) -> Callable[[list[Leaf]], list[Leaf]]:
    return lambda leaves: [change(item) for item in leaves]


def at(position: int, **changes: Any) -> Callable[[list[Leaf]], list[Leaf]]:
    """Change one leaf before anything is signed: the recorder itself is a liar."""
    return lambda leaves: [
        changed(item, **changes) if number == position else item for number, item in enumerate(leaves)
    ]


def later(size_ms: int) -> Callable[[list[Leaf]], list[Leaf]]:
    """Leave a hole after the second chunk of track 0."""
    return each(
        lambda item: (
            changed(item, start_ms=item.start_ms + size_ms, end_ms=item.end_ms + size_ms)
            if item.track == 0 and item.index >= 2
            else item
        )
    )


def with_gap(start_ms: int, end_ms: int, track: int = 0) -> Evidence:
    """A hole of a minute, and a gap declared from and to these times after its beginning."""
    hole = START_MS + 2 * CHUNK_MS
    gap = Gap(track=track, start_ms=hole + start_ms, end_ms=hole + end_ms, cause="paused")
    return of_world(leaf_changes=later(60_000), manifest_changes={"gaps": (gap,)})


def cut_short_by_its_recorder() -> Evidence:
    """The recorder signs a shorter session than it has anchored."""
    kept = CLEAN.leaves[:4]
    world = World(
        manifest_changes={
            "count": 4,
            "attested_count": 4,
            "root": merkle.root(map(leaf.leaf_hash, kept)).hex(),
            "tracks": tuple(msgspec.structs.replace(track, count=2) for track in CLEAN.manifest.tracks),
        }
    )
    data = world.bundle(leaves=world.parts.leaves[:4], chunks=world.chunk_list[:4])
    return replace(of_world(), bundle=data)


def rewritten_by_its_recorder() -> Evidence:
    """The recorder exchanges a chunk that it has anchored, and signs a manifest over the new one."""
    tree = merkle.Tree(map(leaf.leaf_hash, CLEAN.leaves))

    def as_it_was(anchor: InterimAnchor) -> InterimAnchor:
        return msgspec.structs.replace(anchor, root=tree.root(anchor.count).hex())

    return of_world(leaf_changes=at(1, raw_commitment="0" * 64), anchor_changes=as_it_was)


def with_counts(first: int, second: int) -> Evidence:
    one, two = CLEAN.manifest.tracks
    tracks = (msgspec.structs.replace(one, count=first), msgspec.structs.replace(two, count=second))
    return of_world(manifest_changes={"tracks": tracks})


PICTURE_ALONE = {"tracks": CLEAN.manifest.tracks[:1], "count": 6, "attested_count": 6}
NOT_ITS_LEAFS = r"the bytes of chunk \d/\d are not those of its leaf"
BELONGS = r"chunk \S+ is where \S+ belongs"
NUMBERS = r"has index \d+ on track \d+, where \d+ comes next"
ROOT = "the leaves' root is"

# Chunks of the file alone; everything signed is untouched.
_CHUNKS: tuple[tuple[str, str, Chunks, str], ...] = (
    ("a chunk's first byte altered", "the simplest edit",
     in_place_of(2, b"\0" + CHUNKS[2][1][1:]), NOT_ITS_LEAFS),
    ("a chunk's last byte altered", "the tag alone",
     in_place_of(2, CHUNKS[2][1][:-1] + b"\0"), NOT_ITS_LEAFS),
    ("a chunk cut by a byte", "as before", in_place_of(2, CHUNKS[2][1][:-1]), NOT_ITS_LEAFS),
    ("a chunk with a byte more", "as before", in_place_of(2, CHUNKS[2][1] + b"\0"), NOT_ITS_LEAFS),
    ("an empty chunk", "the recording is gone, its name is there", in_place_of(2, b""), NOT_ITS_LEAFS),
    ("first chunk dropped", "how it began", CHUNKS[1:], BELONGS),
    ("middle chunk dropped", "ten seconds less", put(CHUNKS, 4), BELONGS),
    ("last chunk dropped", "how it ended", CHUNKS[:-1], "7 of 8 chunks are in the bundle"),
    ("all chunks but one dropped", "either all or none", CHUNKS[:1], "1 of 8 chunks are in the bundle"),
    ("two chunks of a track swapped", "after before before", swapped(4, 5), BELONGS),
    ("two chunks of two tracks swapped", "another track's sound", swapped(2, 3), BELONGS),
    ("the bytes of two chunks swapped", "under the right names",
     put(in_place_of(4, CHUNKS[5][1]), 5, in_place_of(5, CHUNKS[4][1])[5]), NOT_ITS_LEAFS),
    ("a chunk twice", "in place of the next", put(CHUNKS, 5, CHUNKS[4]), BELONGS),
    ("a chunk's bytes twice", "under the name of the next", in_place_of(5, CHUNKS[4][1]), NOT_ITS_LEAFS),
    ("a chunk under another number", "renumbered", named(4, index=9), BELONGS),
    ("a chunk under another track", "moved", named(4, track=9), BELONGS),
    ("a chunk of another recording", "same place, other session key",
     in_place_of(4, OTHER.sealed[4]), NOT_ITS_LEAFS),
    ("a chunk sealed again", "right recording, not the anchored bytes",
     in_place_of(4, sealed_again(4)), NOT_ITS_LEAFS),
)  # fmt: skip

# Leaves and chunks edited together, after the manifest was signed.
_LEAVES: tuple[tuple[str, str, Chunks, str, str], ...] = (
    ("end cut off with its leaf", "how it ended", CHUNKS[:-1], "completeness", "7 leaves, but 8 were signed"),
    ("all leaves dropped", "nothing was recorded", [], "completeness", "0 leaves, but 8 were signed"),
    ("beginning dropped with its leaf", "how it began", CHUNKS[1:], "leaves", NUMBERS),
    ("middle dropped with its leaf", "ten seconds less", put(CHUNKS, 4), "leaves", NUMBERS),
    ("middle dropped and the rest renumbered", "ten seconds less, without a hole in the numbers",
     in_ranks(put(CHUNKS, 4)), "completeness", "7 leaves, but 8 were signed"),
    ("two leaves of a track swapped", "after before before", swapped(4, 5), "leaves", NUMBERS),
    ("two leaves swapped and renumbered", "after before before, at the times of each other",
     at_the_true_times(in_ranks(swapped(4, 5))),
     "completeness", ROOT),
    ("leaves of two tracks swapped", "the order itself is signed", swapped(0, 1), "completeness", ROOT),
    ("a leaf twice", "the same ten seconds again", put(CHUNKS, 4, *[CHUNKS[4]] * 2), "leaves", NUMBERS),
    ("a leaf twice and the rest renumbered", "the same, without the same number",
     in_ranks(put(CHUNKS, 4, *[CHUNKS[4]] * 2)), "completeness", "9 leaves, but 8 were signed"),
    ("a leaf doubled over the next", "the count stays",
     in_ranks(put(CHUNKS, 5, CHUNKS[4])), "completeness", ROOT),
    ("a leaf renumbered", "a hole in the numbers", named(4, index=7), "leaves", NUMBERS),
    ("a leaf on another track", "a hole in one track, more in another", named(2, track=1), "leaves", NUMBERS),
    ("a track under another number", "sound for picture",
     [(changed(item, track=item.track + 5), data) for item, data in CHUNKS], "completeness", ROOT),
    ("a leaf of another session", "a proof of something else",
     named(4, session=OTHER_SESSION), "leaves", "is of session"),
    ("all leaves of another recording", "under this one's manifest", OTHER.chunk_list, "completeness", ROOT),
    ("a chunk exchanged with its leaf", "nothing happened",
     put(CHUNKS, 4, resealed(4)), "completeness", ROOT),
    ("a leaf added at the end", "something happened after the end",
     [*CHUNKS, (changed(CHUNKS[-1][0], index=6), CHUNKS[-1][1])], "completeness",
     "9 leaves, but 8 were signed"),
    ("a leaf that goes back in time", "an alibi",
     named(4, start_ms=START_MS, end_ms=START_MS), "leaves", "starts before the one before it"),
    ("a leaf a second earlier", "an alibi",
     named(7, start_ms=START_MS + 5 * CHUNK_MS - 1), "completeness", ROOT),
)  # fmt: skip

# Everything is signed anew, by a recorder that is no better than its forger.
_BY_ITS_RECORDER: tuple[Row, ...] = (
    ("recorder skips a number", "a chunk kept back",
     partial(of_world, leaf_changes=at(4, index=7)), "leaves", NUMBERS),
    ("recorder begins a track at 1", "as before",
     partial(of_world, leaf_changes=at(0, index=1)), "leaves", NUMBERS),
    ("recorder numbers a chunk twice", "which is it?",
     partial(of_world, leaf_changes=at(4, index=1)), "leaves", NUMBERS),
    ("recorder names another track", "as before",
     partial(of_world, leaf_changes=at(4, track=3)), "leaves", NUMBERS),
    ("recorder mixes two sessions", "somebody else's screen",
     partial(of_world, leaf_changes=at(4, session=OTHER_SESSION)), "leaves", "is of session"),
    ("recorder goes back in time", "its clock was turned, or its chunks",
     partial(of_world, leaf_changes=at(4, start_ms=START_MS, end_ms=START_MS)), "leaves",
     "starts before the one before it"),
    ("recorder cuts short what it anchored", "how it ended",
     cut_short_by_its_recorder, "anchors", "counts 5 leaves"),
    ("recorder rewrites what it anchored", "what happened",
     rewritten_by_its_recorder, "anchors", "another root"),
    ("manifest with another root", "not these leaves",
     partial(of_world, manifest_changes={"root": "0" * 64}), "completeness", ROOT),
    ("manifest that begins after its first chunk", "shorter on paper",
     partial(of_world, manifest_changes={"start_ms": START_MS + 1}), "completeness", "outside the session"),
    ("manifest that ends before its last chunk", "shorter on paper",
     partial(of_world, manifest_changes={"end_ms": START_MS + 1}), "completeness", "outside the session"),
    ("manifest without one of the tracks", "there was no sound",
     partial(of_world, manifest_changes=PICTURE_ALONE),
     "completeness", "8 leaves, but 6 were signed"),
    ("manifest with the tracks' counts shifted", "as before",
     partial(with_counts, 7, 1), "completeness", "on track 0"),
    ("a hole that no gap declares", "two seconds and a millisecond unseen",
     partial(of_world, leaf_changes=later(2001)), "completeness", "no gap declares it"),
    ("a gap that ends before its hole", "8 s unseen",
     partial(with_gap, 0, 52_000), "completeness", "no gap declares"),
    ("a gap that begins after its hole", "8 s unseen",
     partial(with_gap, 8_000, 60_000), "completeness", "no gap"),
    ("a gap on another track", "a minute unseen",
     partial(with_gap, 0, 60_000, 1), "completeness", "no gap declares"),
)  # fmt: skip

RECORDINGS = (
    *(
        Forgery(name, why, partial(clean, chunks=chunks), "chunks", said)
        for name, why, chunks, said in _CHUNKS
    ),
    Forgery(
        "a chunk more than leaves",
        "something nobody signed",
        partial(clean, chunks=[*CHUNKS, CHUNKS[0]]),
        "archive",
        "more chunks than the 8 leaves",
    ),
    *(Forgery(name, why, partial(edited, chunks), step, said) for name, why, chunks, step, said in _LEAVES),
    *(Forgery(*line) for line in _BY_ITS_RECORDER),
)
