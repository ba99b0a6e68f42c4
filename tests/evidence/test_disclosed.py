"""Bundles that disclose a stretch: exactly its chunks and their keys, each opening what was recorded."""

import io
from collections.abc import Callable

import msgspec
import pytest

from lucid.evidence import archive, bundle, sealing
from lucid.evidence.bundle import BundleReader, ChunkKey, ChunkKeys
from lucid.evidence.disclosed import open_chunks
from lucid.evidence.errors import FormatError, SealError
from lucid.evidence.leaf import Leaf
from lucid.evidence.steps import Outcome
from tests.evidence.verifying import check, failed_step
from tests.evidence.world import World

WORLD = World()
CHUNKS = WORLD.chunk_list[2:5]
KEYS = tuple(
    ChunkKey(track=leaf.track, index=leaf.index, key=sealing.chunk_key(WORLD.session_key, data).hex())
    for leaf, data in CHUNKS
)
GOOD = WORLD.bundle(chunks=CHUNKS, keys=KEYS)
Members = list[tuple[Leaf, bytes]]
Keys = tuple[ChunkKey, ...]


def other_key(key: ChunkKey) -> ChunkKey:
    return msgspec.structs.replace(key, key="0" * 64)


def recommitted(items: list[Leaf]) -> list[Leaf]:
    """The leaves of a recorder that committed to something else than what was sealed."""
    return [msgspec.structs.replace(item, raw_commitment="1" * 64) for item in items]


class TestADisclosure:
    def test_verifies_with_all_leaves_and_these_chunks_only(self) -> None:
        report = check(WORLD, GOOD)
        assert report.outcome is Outcome.VERIFIED
        assert "3 chunks" in report.steps[8].detail
        assert "keys that are disclosed" in report.steps[8].detail

    def test_comes_back_as_it_was_written(self) -> None:
        reader = BundleReader(io.BytesIO(GOOD))
        assert reader.parts.keys == KEYS
        assert len(reader.parts.leaves) == len(WORLD.leaves)
        opened = [(leaf.chunk, raw) for leaf, raw in open_chunks(reader)]
        assert opened == [(leaf.chunk, WORLD.raws[WORLD.leaves.index(leaf)]) for leaf, _ in CHUNKS]

    def test_of_everything_verifies(self) -> None:
        keys = tuple(
            ChunkKey(track=leaf.track, index=leaf.index, key=sealing.chunk_key(WORLD.session_key, data).hex())
            for leaf, data in WORLD.chunk_list
        )
        assert check(WORLD, WORLD.bundle(keys=keys)).outcome is Outcome.VERIFIED

    def test_does_not_show_its_keys_in_a_repr(self) -> None:
        assert KEYS[0].key not in repr(KEYS[0])


FORGERIES: dict[str, Callable[[], tuple[Members, Keys]]] = {
    "a key that is not the chunk's": lambda: (CHUNKS, (other_key(KEYS[0]), *KEYS[1:])),
    "the key of another chunk": lambda: (
        CHUNKS,
        (msgspec.structs.replace(KEYS[0], key=KEYS[1].key), *KEYS[1:]),
    ),
    "a chunk without its key": lambda: (CHUNKS, KEYS[1:]),
    "a key without its chunk": lambda: (CHUNKS[1:], KEYS),
    "no chunk at all": lambda: ([], KEYS),
    "keys in another order": lambda: (CHUNKS, KEYS[::-1]),
    "a key twice": lambda: (CHUNKS, (KEYS[0], *KEYS)),
    "a key of no chunk": lambda: (CHUNKS, (*KEYS, msgspec.structs.replace(KEYS[0], index=99))),
    "chunks swapped": lambda: ([CHUNKS[1], CHUNKS[0], CHUNKS[2]], KEYS),
    "another chunk": lambda: ([WORLD.chunk_list[0], *CHUNKS[1:]], KEYS),
}


class TestADisclosureIsRefused:
    @pytest.mark.parametrize("name", FORGERIES)
    def test_for(self, name: str) -> None:
        chunks, keys = FORGERIES[name]()
        step = failed_step(check(WORLD, WORLD.bundle(chunks=chunks, keys=keys)))
        assert step == ("archive" if name == "a chunk without its key" else "chunks")

    def test_for_a_chunk_with_an_altered_byte(self) -> None:
        leaf, data = CHUNKS[1]
        altered = (leaf, data[:-1] + bytes([data[-1] ^ 1]))
        bad = WORLD.bundle(chunks=[CHUNKS[0], altered, CHUNKS[2]], keys=KEYS)
        assert failed_step(check(WORLD, bad)) == "chunks"

    def test_for_a_recording_that_its_recorder_did_not_commit_to(self) -> None:
        world = World(leaf_changes=recommitted)
        assert check(world).outcome is Outcome.VERIFIED
        chunk = world.chunk_list[0]
        key = sealing.chunk_key(world.session_key, chunk[1]).hex()
        report = check(world, world.bundle(chunks=[chunk], keys=(ChunkKey(track=0, index=0, key=key),)))
        assert failed_step(report) == "chunks"
        assert "raw_commitment" in report.steps[-1].detail

    @pytest.mark.parametrize(
        "content",
        [b'{"keys":[]}', b"{}", b'{"keys": []}', b"", b'{"keys":[{"index":0,"key":"00","track":0}]}'],
    )
    def test_for_keys_that_are_no_such_record(self, content: bytes) -> None:
        head = bundle.metadata(WORLD.parts)
        member = (
            archive.member_header(bundle.KEYS_NAME, len(content)) + content + archive.padding(len(content))
        )
        assert failed_step(check(WORLD, head + member + archive.END)) == "archive"

    def test_for_keys_elsewhere_or_twice(self) -> None:
        head = bundle.metadata(WORLD.parts)
        member = GOOD[len(head) : GOOD.index(b"chunks/") // archive.BLOCK * archive.BLOCK]
        assert member.startswith(b"keys.json\0")
        for bad in (member + head + archive.END, head + member + member + archive.END):
            assert failed_step(check(WORLD, bad)) == "archive"

    def test_for_keys_longer_than_allowed_before_reading_them(self) -> None:
        head = bundle.metadata(WORLD.parts) + archive.member_header(bundle.KEYS_NAME, bundle.KEYS_LIMIT + 1)
        with pytest.raises(FormatError, match=f"at most {bundle.KEYS_LIMIT}"):
            BundleReader(io.BytesIO(head))

    def test_for_an_empty_list_when_it_is_written(self) -> None:
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(b'{"keys":[]}', type=ChunkKeys)


class TestOpening:
    def test_of_a_bundle_without_the_keys_is_refused(self) -> None:
        with pytest.raises(SealError, match="is not in the bundle"):
            next(open_chunks(BundleReader(io.BytesIO(WORLD.bundle()))))

    def test_checks_a_chunk_key_against_the_leaf(self) -> None:
        leaf, data = CHUNKS[0]
        sealing.check_chunk_key(sealing.chunk_key(WORLD.session_key, data), leaf)
        with pytest.raises(SealError, match="key_commitment"):
            sealing.check_chunk_key(bytes(32), leaf)
