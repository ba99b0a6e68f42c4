"""Leaves."""

import hashlib
from typing import Any

import msgspec
import pytest

from lucid.evidence import leaf
from lucid.evidence.errors import FormatError
from lucid.evidence.leaf import ChunkId
from tests.evidence.world import SESSION, World

LEAF = World().leaves[0]


def test_round_trips_and_hashes_with_the_leaf_prefix() -> None:
    data = leaf.encode(LEAF)
    assert leaf.decode(data) == LEAF
    assert leaf.leaf_hash(LEAF) == hashlib.sha256(b"\x00" + data).digest()


def test_a_chunk_id_packs_into_28_bytes() -> None:
    packed = ChunkId(SESSION, 258, 3).packed()
    assert packed.hex() == SESSION.replace("-", "") + "00000102" + "0000000000000003"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"v": 2}, "v"),
        ({"track": 2**32}, "track"),
        ({"index": 2**53}, "index"),
        ({"plain_size": 0}, "plain_size"),
        ({"plain_size": 2**24 + 1}, "plain_size"),
        ({"sealed_size": 80}, "sealed_size"),
        ({"codec": "lz4"}, "codec"),
        ({"session": SESSION.upper()}, "session"),
        ({"raw_commitment": "00"}, "raw_commitment"),
        ({"start_ms": 2, "end_ms": 1}, "end_ms is before"),
        ({"codec": "none", "plain_size": 10, "sealed_size": 91}, r"plain_size \+ 80"),
    ],
)
def test_values_out_of_bounds_are_named(change: dict[str, Any], problem: str) -> None:
    fields = msgspec.to_builtins(LEAF) | change
    with pytest.raises(FormatError, match=problem):
        leaf.decode(msgspec.json.encode(fields, order="sorted"))


def test_a_leaf_that_breaks_its_rules_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="end_ms is before start_ms"):
        msgspec.structs.replace(LEAF, end_ms=LEAF.start_ms - 1)
    with pytest.raises(FormatError, match="track"):
        leaf.encode(msgspec.structs.replace(LEAF, track=-1))
