"""Manifests and interim anchors as signed statements."""

from typing import Any

import msgspec
import pytest

from lucid.evidence import dsse, statements
from lucid.evidence.errors import FormatError, SignatureError
from lucid.evidence.manifest import InterimAnchor, Manifest
from tests.evidence.world import SESSION, World, public_key

WORLD = World()
MANIFEST = WORLD.manifest
KEY = WORLD.key("recorder")
TRACKS = msgspec.to_builtins(MANIFEST.tracks)
GAP = {"track": 0, "start_ms": 5, "end_ms": 6, "cause": "paused"}


def test_a_signed_manifest_reads_back() -> None:
    envelope = dsse.parse(statements.sign(MANIFEST, KEY))
    assert envelope.payload_type == "application/vnd.lucid.manifest+json"
    assert statements.verify(envelope, Manifest, public_key(KEY)) == MANIFEST
    assert statements.read(envelope, Manifest) == MANIFEST


def test_one_kind_of_statement_never_passes_for_another() -> None:
    envelope = dsse.parse(statements.sign(MANIFEST, KEY))
    with pytest.raises(SignatureError, match="manifest"):
        statements.verify(envelope, InterimAnchor, public_key(KEY))


def test_a_signature_does_not_make_a_malformed_statement_good() -> None:
    envelope = dsse.parse(dsse.sign(Manifest.PAYLOAD_TYPE, b'{"v": 1}', KEY))
    with pytest.raises(FormatError, match="Manifest"):
        statements.verify(envelope, Manifest, public_key(KEY))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"tracks": TRACKS[::-1]}, "ascending"),
        ({"tracks": [TRACKS[0], TRACKS[0]]}, "ascending"),
        ({"tracks": TRACKS[:1]}, "sum of the tracks"),
        ({"count": 9}, "sum of the tracks"),
        ({"attested_count": 9}, "larger than count"),
        ({"attested_count": 7}, "unless end_reason is recorder_lost"),
        ({"end_reason": "bored"}, "end_reason"),
        ({"end_ms": 0}, "end_ms is before"),
        ({"gaps": [GAP | {"track": 5}]}, "track that tracks do not"),
        ({"gaps": [GAP | {"end_ms": 4}]}, "end_ms is before"),
        ({"gaps": [GAP, GAP | {"start_ms": 4}]}, "order of start_ms"),
        ({"gaps": [GAP] * 1025}, "gaps"),
        ({"gaps": [GAP | {"cause": "coffee"}]}, "cause"),
        ({"owner": "ada\nlovelace"}, "owner"),
        ({"policy_sha256": None}, "policy_sha256"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(change: dict[str, Any], problem: str) -> None:
    data = msgspec.json.encode(msgspec.to_builtins(MANIFEST) | change, order="sorted")
    envelope = dsse.parse(dsse.sign(Manifest.PAYLOAD_TYPE, data, KEY))
    with pytest.raises(FormatError, match=problem):
        statements.verify(envelope, Manifest, public_key(KEY))


def test_a_lost_recorder_vouches_for_a_part_only() -> None:
    manifest = msgspec.structs.replace(MANIFEST, end_reason="recorder_lost", attested_count=5)
    assert (manifest.session, manifest.attested_count, manifest.count) == (SESSION, 5, 8)
