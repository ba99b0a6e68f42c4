"""Both verifiers open what a bundle discloses, and agree on what they do not take for the recording."""

import io
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
import zstandard
from msgspec.structs import replace

from lucid.evidence.bundle import ChunkKey
from tests.evidence.verifying import CLEAN, LOST
from tests.evidence.world import World
from tests.forgeries.forging import Evidence, archive_of, members_of, with_member
from tests.forgeries.fuzzing import SECONDS, fuzz, has_seen_enough
from tests.forgeries.mutations import mutated_bundle, mutated_bytes, mutated_json
from tests.forgeries.records import canonical_json
from tests.verifier.both import Verdict, both, trust_of
from tests.verifier.disclosing import (
    FRAME,
    OF_NOTHING,
    TEXT,
    Chunks,
    disclosure,
    keys_of,
    keys_of_size,
    sealed_by_hand,
    with_keys,
)
from verifier import lucid_verify

pytestmark = pytest.mark.timeout(SECONDS + 60)

TRUST = trust_of(CLEAN)
CHUNKS = CLEAN.chunk_list[2:5]
KEYS = keys_of(CLEAN, CHUNKS)
GOOD = disclosure(CLEAN, CHUNKS)
MEMBERS = members_of(GOOD)
DONOR = members_of(World(seed="donor", chunks=2, sound_chunks=1, anchored=(0, 1)).bundle())
KEYS_JSON = dict(MEMBERS)["keys.json"]
ARCHIVE, AT_CHUNKS = Verdict(1, (1, "archive")), Verdict(1, (9, "chunks"))
UNSIZED = zstandard.ZstdCompressor(write_content_size=False).compress(TEXT)
SKIPPABLE = b"\x50\x2a\x4d\x18" + len(TEXT).to_bytes(4, "little") + TEXT


def both_on(evidence: Evidence) -> Verdict:
    return both(evidence.bundle, evidence.trust_file)


class TestWhatHolds:
    @pytest.mark.parametrize("options", [{}, LOST | {"anchored": (0, 5)}, {"chunk_size": 1}])
    def test_every_stretch_of_a_session(self, options: dict[str, Any]) -> None:
        world = World(**options)
        assert {leaf.codec for leaf in world.leaves} <= {"none", "zstd"}
        for start, end in ((0, 1), (0, 8), (3, 4), (2, 6), (7, 8)):
            data = disclosure(world, world.chunk_list[start:end])
            assert both(data, trust_of(world)) == Verdict(0)
            assert both(data, None) == Verdict(3)

    def test_chunks_that_are_not_neighbours(self) -> None:
        assert both(disclosure(CLEAN, CLEAN.chunk_list[::3]), TRUST) == Verdict(0)

    def test_either_codec(self) -> None:
        assert both_on(sealed_by_hand(FRAME)) == Verdict(0)
        assert both_on(sealed_by_hand(TEXT, codec="none")) == Verdict(0)


class TestForm:
    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{}",
            b"[]",
            b'{"keys":[]}',
            b'{"keys":{}}',
            KEYS_JSON + b"\n",
            KEYS_JSON.replace(b":", b": ", 1),
            KEYS_JSON.replace(b'"index":', b'"index":-', 1),
            KEYS_JSON.replace(b'"track":0', b'"track":4294967296', 1),
            KEYS_JSON.replace(b'"track":0', b'"track":true', 1),
            KEYS_JSON.replace(b'"track":0', b'"track":0,"v":1', 1),
            KEYS_JSON.replace(b'"key":"', b'"key":"0', 1),
            KEYS_JSON[:-1] + b',"v":1}',
            b'{"keys":' + b"[" * 100_000,
        ],
        ids=lambda content: content[:40].decode(),
    )
    def test_keys_that_are_no_such_record(self, content: bytes) -> None:
        assert both(with_keys(MEMBERS, content), TRUST) == ARCHIVE

    def test_keys_twice_or_in_another_place(self) -> None:
        assert both(with_keys(MEMBERS, KEYS_JSON, KEYS_JSON), TRUST) == ARCHIVE
        keys = ("keys.json", KEYS_JSON)
        others = [member for member in MEMBERS if member != keys]
        for place in range(len(others) + 1):
            expected = Verdict(0) if place == MEMBERS.index(keys) else ARCHIVE
            assert both(archive_of([*others[:place], keys, *others[place:]]), TRUST) == expected

    def test_keys_of_more_than_16_mib(self) -> None:
        longest = keys_of_size(1 << 24)
        assert len(longest) == 1 << 24
        read = lucid_verify.read_bundle(io.BytesIO(with_keys(MEMBERS, longest)))
        assert canonical_json({"keys": read.keys}) == longest
        assert both(with_keys(MEMBERS, keys_of_size((1 << 24) + 1)), TRUST) == ARCHIVE


def disclosed(chunks: Chunks, keys: tuple[ChunkKey, ...]) -> bytes:
    return CLEAN.bundle(chunks=chunks, keys=keys)


OTHERS = [CLEAN.chunk_list[0], *CHUNKS[1:]]
ALTERED = [(leaf, data[:-1] + bytes([data[-1] ^ 1])) for leaf, data in CHUNKS]
SHORTENED = [(replace(leaf, sealed_size=9), data[:9]) for leaf, data in CHUNKS]
STRETCHES = {
    "a key that is not the chunk's": (CHUNKS, (replace(KEYS[0], key="0" * 64), *KEYS[1:])),
    "the last key is not the chunk's": (CHUNKS, (*KEYS[:-1], replace(KEYS[-1], key="0" * 64))),
    "the key of another chunk": (CHUNKS, (replace(KEYS[0], key=KEYS[1].key), *KEYS[1:])),
    "a key without its chunk": (CHUNKS[1:], KEYS),
    "the last key without its chunk": (CHUNKS[:-1], KEYS),
    "no chunk at all": ([], KEYS),
    "keys in another order": (CHUNKS, KEYS[::-1]),
    "keys and chunks in another order": (CHUNKS[::-1], KEYS[::-1]),
    "a key twice": (CHUNKS, (KEYS[0], *KEYS)),
    "a key and its chunk twice": ([CHUNKS[0], *CHUNKS], (KEYS[0], *KEYS)),
    "a key of no chunk": (CHUNKS, (*KEYS, replace(KEYS[0], index=99))),
    "a key of no chunk first": (CHUNKS, (replace(KEYS[0], index=99), *KEYS)),
    "a key of no track": (CHUNKS, (*KEYS[:-1], replace(KEYS[-1], track=2**32 - 1))),
    "chunks in another order": (CHUNKS[::-1], KEYS),
    "a chunk of which nobody spoke": (OTHERS, KEYS),
    "altered chunks": (ALTERED, KEYS),
    "chunks shorter than their salt": (SHORTENED, KEYS),
}
"""Chunks and keys that do not belong together."""


class TestStretches:
    @pytest.mark.parametrize("name", STRETCHES)
    def test_with(self, name: str) -> None:
        assert both(disclosed(*STRETCHES[name]), TRUST) == AT_CHUNKS

    def test_with_more_chunks_than_keys(self) -> None:
        assert both(disclosed(CHUNKS, KEYS[1:]), TRUST) == ARCHIVE
        assert both(disclosed(CLEAN.chunk_list, KEYS), TRUST) == ARCHIVE

    def test_that_already_fail_at_an_earlier_step(self) -> None:
        world = World(manifest_changes={"root": "0" * 64})
        bad = world.bundle(chunks=CHUNKS[:1], keys=(replace(KEYS[0], key="0" * 64),))
        assert both(bad, trust_of(world)) == Verdict(1, (5, "completeness"))
        for old, new in ((b'"index":0', b'"index":1'), (b'"v":1', b'"v":2')):
            leaves = dict(MEMBERS)["leaves.jsonl"].replace(old, new, 1)
            assert both(with_member(GOOD, "leaves.jsonl", leaves), TRUST) == Verdict(1, (2, "leaves"))


SEALINGS: dict[str, Callable[[], Evidence]] = {
    "another recording": partial(sealed_by_hand, zstandard.compress(TEXT[::-1])),
    "another recording, not compressed": partial(sealed_by_hand, TEXT[::-1], codec="none"),
    "another raw nonce": partial(sealed_by_hand, FRAME, nonce=bytes(32)),
    "another raw commitment": partial(sealed_by_hand, FRAME, raw_commitment="0" * 64),
    "another key commitment": partial(sealed_by_hand, FRAME, key_commitment="0" * 64),
    "sealed for another codec": partial(sealed_by_hand, FRAME, sealed_for="none"),
    "no frame": partial(sealed_by_hand, TEXT),
    "nothing but a nonce and a byte": partial(sealed_by_hand, b"\x28"),
    "a frame that was cut off": partial(sealed_by_hand, FRAME[:-1]),
    "a byte after the frame": partial(sealed_by_hand, FRAME + b"\0"),
    "two frames": partial(sealed_by_hand, FRAME * 2),
    "an empty frame after the frame": partial(sealed_by_hand, FRAME + zstandard.compress(b"")),
    "a skippable frame after the frame": partial(sealed_by_hand, FRAME + SKIPPABLE),
    "a skippable frame before the frame": partial(sealed_by_hand, SKIPPABLE + FRAME),
    "a skippable frame": partial(sealed_by_hand, SKIPPABLE),
    "nothing in a skippable frame": partial(sealed_by_hand, SKIPPABLE, raw_commitment=OF_NOTHING),
    "a frame that does not state its size": partial(sealed_by_hand, UNSIZED),
    "a frame that states another size": partial(sealed_by_hand, FRAME, plain_size=len(TEXT) + 1),
}
"""What a recorder may have sealed, and anchored, instead of what it saw."""


class TestSealings:
    @pytest.mark.parametrize("name", SEALINGS)
    def test_of(self, name: str) -> None:
        assert both_on(SEALINGS[name]()) == AT_CHUNKS


class TestWithoutZstandard:
    def run(self, tmp_path: Path, bundle: bytes) -> subprocess.CompletedProcess[str]:
        """Runs the verifier in an interpreter to which zstandard is not installed."""
        (tmp_path / "bundle").write_bytes(bundle)
        start = (
            "import runpy, sys; sys.modules['zstandard'] = None; del sys.argv[0]; "
            "runpy.run_path(sys.argv[0], run_name='__main__')"
        )
        return subprocess.run(
            [sys.executable, "-I", "-c", start, lucid_verify.__file__, str(tmp_path / "bundle")],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def test_it_says_that_compressed_chunks_were_not_decompressed(self, tmp_path: Path) -> None:
        done = self.run(tmp_path, GOOD)
        assert (done.returncode, done.stderr) == (3, "")
        assert "3 chunks, opened with their keys; zstandard is not installed: compressed" in done.stdout

    def test_it_says_nothing_of_it_where_nothing_is_disclosed(self, tmp_path: Path) -> None:
        assert "zstandard" not in self.run(tmp_path, CLEAN.bundle()).stdout

    def test_it_still_opens_everything_else(self, tmp_path: Path) -> None:
        for bundle in (
            sealed_by_hand(TEXT[::-1], codec="none").bundle,
            sealed_by_hand(FRAME, key_commitment="0" * 64).bundle,
            disclosed(ALTERED, KEYS),
        ):
            done = self.run(tmp_path, bundle)
            assert done.returncode == 1
            assert " 9 chunks       failed" in done.stdout


def described(verdict: Verdict) -> str:
    return verdict.step[1] if verdict.step else str(verdict.exit_code)


def test_they_agree_on_damaged_disclosures() -> None:
    def case(rng: Random) -> str:
        if rng.random() < 0.3:
            data = mutated_bundle(rng, MEMBERS, DONOR)
        else:
            change = mutated_json if rng.random() < 0.9 else mutated_bytes
            data = with_keys(MEMBERS, change(rng, KEYS_JSON))
        return described(both(data, TRUST if rng.random() < 0.8 else None))

    assert has_seen_enough(fuzz(case), kinds=4)


def test_they_agree_on_damaged_frames() -> None:
    def case(rng: Random) -> str:
        payload = rng.choice((FRAME, FRAME, UNSIZED, SKIPPABLE + FRAME, TEXT))
        payload = (mutated_bytes(rng, payload) if rng.random() < 0.9 else payload) or b"\0"
        if rng.random() < 0.2:
            return described(both_on(sealed_by_hand(payload, codec="none", plain_size=len(payload))))
        size = len(TEXT) + rng.choice((0, 0, 0, 1, -1, 256))
        return described(both_on(sealed_by_hand(payload, plain_size=size)))

    assert has_seen_enough(fuzz(case), kinds=2)
