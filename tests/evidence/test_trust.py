"""Trust files."""

from typing import Any

import msgspec
import pytest

from lucid.evidence import checkpoint, trust
from lucid.evidence.errors import FormatError
from tests.evidence.world import World, cosigner

WORLD = World()
FILE = WORLD.trust_file


def encoded(**changes: Any) -> bytes:
    return msgspec.json.encode(msgspec.to_builtins(FILE) | changes)


def test_round_trips_and_is_readable() -> None:
    data = trust.encode(FILE)
    assert trust.parse(data) == trust.read(FILE) == WORLD.trust
    assert data.startswith(b'{\n  "format": "lucid-trust/v1",\n')


def test_the_order_of_fields_and_the_spacing_are_free() -> None:
    assert trust.parse(msgspec.json.encode(FILE, order="sorted")) == WORLD.trust


@pytest.mark.parametrize(("validators", "quorum"), [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 5), (7, 5)])
def test_two_quorums_share_an_honest_validator(validators: int, quorum: int) -> None:
    assert trust.default_quorum(validators) == quorum
    liars = (validators - 1) // 3
    assert 2 * quorum - validators > liars
    assert quorum <= validators - liars


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"quorum": 2}, "quorum: 2; with 4 validators it is 3 to 4"),
        ({"quorum": 5}, "quorum: 5"),
        ({"quorum": 0}, "quorum: 0"),
        ({"validators": []}, "validators"),
        ({"validators": ["x"]}, "vkey"),
        ({"validators": [*FILE.validators[:3], FILE.validators[0]]}, "listed twice"),
        ({"witnesses": [FILE.validators[0]]}, "public key is listed twice"),
        ({"witnesses": [cosigner("other", WORLD.validator_names[0]).vkey]}, "name is listed twice"),
        ({"witness_quorum": 2}, "witness_quorum: 2; it is 0 to 1"),
        ({"witness_quorum": -1}, "witness_quorum: -1"),
        ({"format": "lucid-trust/v2"}, "format"),
        ({"genesis_hash": "0"}, "genesis_hash"),
        ({"origin": "a b"}, "origin"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_file_not_to_be_relied_on_is_refused_by_field(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(FormatError, match=problem):
        trust.parse(encoded(**change))


def test_one_key_under_two_names_is_one_key() -> None:
    renamed = checkpoint.parse_vkey(FILE.validators[0])
    twin = type(renamed)("another.name", renamed.public_key)
    with pytest.raises(FormatError, match="public key is listed twice"):
        trust.parse(encoded(validators=[*FILE.validators[:3], twin.vkey]))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        encoded().replace(b'"quorum"', b'"origin":"x","quorum"'),
        b'{"a":' * 100_000,
        b" " * (trust.TRUST_LIMIT + 1),
    ],
)
def test_anything_else_is_a_format_error(data: bytes) -> None:
    with pytest.raises(FormatError, match="trust file"):
        trust.parse(data)
