"""Block headers and votes."""

import hashlib

import msgspec
import pytest

from lucid.evidence import block, dsse, statements
from lucid.evidence.block import Vote
from lucid.evidence.errors import FormatError
from tests.evidence.world import ORIGIN, World, public_key

WORLD = World()
HEADER = WORLD.header


def test_a_header_round_trips_and_is_hashed_in_a_domain_of_its_own() -> None:
    data = block.encode(HEADER)
    assert block.decode(data) == HEADER
    assert block.block_hash(HEADER) == hashlib.sha256(b"lucid/block/v1\x00" + data).hexdigest()


@pytest.mark.parametrize("field", [name for name in HEADER.__struct_fields__ if name != "v"])
def test_every_field_is_under_the_hash(field: str) -> None:
    value = getattr(HEADER, field)
    changed = value + 1 if isinstance(value, int) else value[:-1] + ("1" if value[-1] == "0" else "0")
    other = msgspec.structs.replace(HEADER, **{field: changed})
    assert block.block_hash(other) != block.block_hash(HEADER)


def test_only_block_0_has_no_previous() -> None:
    with pytest.raises(ValueError, match="previous"):
        msgspec.structs.replace(HEADER, previous=block.NO_PREVIOUS)
    with pytest.raises(ValueError, match="previous"):
        msgspec.structs.replace(HEADER, height=0)
    with pytest.raises(ValueError, match="log_size"):
        msgspec.structs.replace(HEADER, log_size=0)


def test_a_header_in_another_spelling_is_refused() -> None:
    with pytest.raises(FormatError, match="header"):
        block.decode(block.encode(HEADER).replace(b",", b", "))


def test_a_vote_is_signed() -> None:
    key = WORLD.key(WORLD.validator_names[0])
    vote = Vote(chain=ORIGIN, height=7, block=block.block_hash(HEADER), verdict="accept")
    envelope = dsse.parse(statements.sign(vote, key))
    assert envelope.payload_type == "application/vnd.lucid.vote+json"
    assert statements.verify(envelope, Vote, public_key(key)) == vote
