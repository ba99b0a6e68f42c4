"""Damage without a plan: single bits all over the file, and every way of cutting it off."""

import io
import tarfile

import pytest

from tests.evidence.verifying import failed_step
from tests.forgeries.forging import Evidence
from tests.forgeries.records import GOOD, TRUST_FILE

with tarfile.open(fileobj=io.BytesIO(GOOD), mode="r:") as tar:
    PLACES = {info.name: range(info.offset_data, info.offset_data + info.size) for info in tar}
"""Where each member's bytes are."""


def step_after_a_flip(position: int, bit: int) -> str:
    flipped = bytearray(GOOD)
    flipped[position] ^= bit
    return failed_step(Evidence(bytes(flipped), TRUST_FILE).verify())


@pytest.mark.parametrize(
    ("member", "steps"),
    [
        ("lucid-bundle.json", {"archive", "leaves"}),
        ("genesis.json", {"genesis"}),
        ("header.json", {"checkpoint"}),
        ("checkpoint", {"checkpoint", "validators", "witnesses"}),
        ("consistency.json", {"archive", "genesis"}),
        ("policy.json", {"policy"}),
        ("entries.jsonl", {"archive", "signers", "manifest", "anchors", "inclusion"}),
        ("leaves.jsonl", {"archive", "leaves", "completeness"}),
        ("chunks/0/0", {"chunks"}),
        ("chunks/1/0", {"chunks"}),
        ("chunks/0/1", {"chunks"}),
    ],
)
def test_a_flipped_bit_is_found_in_every_member(member: str, steps: set[str]) -> None:
    place = PLACES[member]
    for position in place[:: max(1, len(place) // 70)]:
        for bit in (1, 32):
            assert step_after_a_flip(position, bit) in steps


def test_a_flipped_bit_is_found_between_the_members() -> None:
    inside = {position for place in PLACES.values() for position in place}
    outside = [position for position in range(len(GOOD)) if position not in inside]
    for position in outside[::23]:
        assert step_after_a_flip(position, 1) == "archive"


def test_a_file_cut_off_anywhere_is_found() -> None:
    for size in range(0, len(GOOD), 211):
        assert failed_step(Evidence(GOOD[:size], TRUST_FILE).verify()) == "archive"
