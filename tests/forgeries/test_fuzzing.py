"""Mutants of everything that a stranger may hand in: none crashes, none hangs, none is accepted.

A mutant that is accepted must be the original, byte for byte, but for what a bundle may leave out or add
without saying anything else: named in `says_the_same`.
"""

import io
from random import Random

import msgspec
import pytest

from lucid.evidence import checkpoint, dsse, leaf, sealing, trust
from lucid.evidence.bundle import BundleReader
from lucid.evidence.errors import EvidenceError, FormatError, SealError, SignatureError
from lucid.evidence.steps import Outcome
from tests.evidence.world import World, public_key
from tests.forgeries.forging import Evidence, members_of
from tests.forgeries.fuzzing import SECONDS, fuzz, has_seen_enough
from tests.forgeries.mutations import (
    mutated_bundle,
    mutated_bytes,
    mutated_envelope,
    mutated_json,
    mutated_lines,
    mutated_note,
)
from tests.forgeries.records import GOOD, TRUST_FILE, WORLD

pytestmark = pytest.mark.timeout(SECONDS + 60)

MEMBERS = members_of(GOOD)
DONOR_WORLD = World(seed="donor", chunks=2, sound_chunks=1, validators=1, anchored=(0, 1))
DONOR = members_of(DONOR_WORLD.bundle())
INVENTED = DONOR_WORLD.bundle()
KNOWN = (*WORLD.trust.validators, *WORLD.trust.witnesses)


def says_the_same(mutant: bytes) -> bool:
    """Whether a bundle differs from the original in nothing but what need not be in it, or is not counted.

    It may leave out all chunks or some interim anchors; its cosignatures may stand in another order, among
    those of unknown keys.
    """
    reader = BundleReader(io.BytesIO(mutant))
    with_chunks = sum(1 for chunk in reader.chunks() for _ in chunk.pieces) > 0
    kept = {entry.index for entry in reader.parts.entries}
    same = WORLD.bundle(
        chunks=None if with_chunks else [],
        entries=tuple(entry for entry in WORLD.parts.entries if entry.index in kept),
        checkpoint=reader.parts.checkpoint,
    )
    text, _, lines = reader.parts.checkpoint.partition(b"\n\n")
    true_text, _, true_lines = WORLD.note.partition(b"\n\n")
    return same == mutant and text == true_text and set(true_lines.split(b"\n")) <= set(lines.split(b"\n"))


def test_bundles() -> None:
    def case(rng: Random) -> str:
        mutant = mutated_bundle(rng, MEMBERS, DONOR)
        report = Evidence(mutant, TRUST_FILE).verify()
        if report.outcome is Outcome.VERIFIED:
            assert says_the_same(mutant)
            return "the same"
        assert report.outcome is Outcome.REFUSED
        assert report.failure is not None
        return report.failure.name

    assert Evidence(GOOD, TRUST_FILE).verify().outcome is Outcome.VERIFIED
    assert has_seen_enough(fuzz(case), 9)


def test_leaves_and_sealed_chunks() -> None:
    """A leaf says when a chunk was recorded too; only the session's tree can hold it to that."""
    original, sealed, raw = WORLD.parts.leaves[0], WORLD.sealed[0], WORLD.raws[0]

    def case(rng: Random) -> str:
        record = mutated_json(rng, original) if rng.random() < 0.8 else mutated_bytes(rng, original)
        data = sealed if rng.random() < 0.5 else mutated_bytes(rng, sealed)
        try:
            found = leaf.decode(record)
        except FormatError:
            return "no leaf"
        assert leaf.encode(found) == record
        try:
            assert sealing.open_sealed(WORLD.session_key, found, data) == raw
        except SealError:
            return "does not open"
        times = {"start_ms": found.start_ms, "end_ms": found.end_ms}
        assert (found, data) == (msgspec.structs.replace(WORLD.leaves[0], **times), sealed)
        return "opens"

    assert sealing.open_sealed(WORLD.session_key, leaf.decode(original), sealed) == raw
    assert has_seen_enough(fuzz(case), 3)


def test_notes() -> None:
    true = checkpoint.verify_cosignatures(checkpoint.parse_note(WORLD.note), KNOWN)
    text = checkpoint.body(WORLD.header)

    def case(rng: Random) -> str:
        mutant = mutated_note(rng, WORLD.note)
        try:
            note = checkpoint.parse_note(mutant)
            found = checkpoint.verify_cosignatures(note, KNOWN)
        except FormatError:
            return "no note"
        except SignatureError:
            return "a bad cosignature"
        if not found.times:
            return "nobody known"
        assert note.body == text
        assert found.times.items() <= true.times.items()
        assert checkpoint.parse_body(note.body).block == checkpoint.parse_body(text).block
        return "cosigned"

    assert len(true.times) == 2
    assert has_seen_enough(fuzz(case), 3)


def test_envelopes() -> None:
    original = WORLD.entries[WORLD.session_entries[-1]]
    kind = WORLD.parts.entries[-1].envelope.payload_type
    key = public_key(private := WORLD.key("recorder"))

    def case(rng: Random) -> str:
        mutant = mutated_envelope(rng, original) if rng.random() < 0.9 else mutated_bytes(rng, original)
        try:
            envelope = dsse.parse(mutant)
            body = dsse.verify(envelope, kind, key)
        except FormatError:
            return "no envelope"
        except SignatureError:
            return "not signed"
        # The forger may hold the key; what it signed is then exactly what was verified.
        assert mutant == dsse.sign(kind, body, private)
        return "signed"

    assert dsse.verify(dsse.parse(original), kind, key) == WORLD.parts.entries[-1].envelope.body
    assert has_seen_enough(fuzz(case), 3)


def test_trust_files() -> None:
    """Whatever an auditor's file becomes, it never makes an invented world pass, nor asks for less."""

    def case(rng: Random) -> str:
        if rng.random() < 0.6:
            mutant = mutated_json(rng, TRUST_FILE)
        elif rng.random() < 0.5:
            mutant = mutated_lines(rng, TRUST_FILE, TRUST_FILE, mutated_bytes)
        else:
            mutant = mutated_bytes(rng, TRUST_FILE)
        try:
            found = trust.parse(mutant)
        except FormatError:
            return "no trust file"
        assert trust.default_quorum(len(found.validators)) <= found.quorum <= len(found.validators)
        assert set(found.validators + found.witnesses) <= set(KNOWN)
        assert Evidence(INVENTED, mutant).verify().outcome is Outcome.REFUSED
        genuine = Evidence(GOOD, mutant).verify().outcome
        assert (genuine is Outcome.VERIFIED) == (
            (found.origin, found.genesis_hash) == (WORLD.trust.origin, WORLD.trust.genesis_hash)
        )
        return genuine.value

    assert trust.parse(TRUST_FILE) == WORLD.trust
    assert has_seen_enough(fuzz(case), 3)


def test_any_bytes_where_something_else_is_expected() -> None:
    readers = (checkpoint.parse_note, dsse.parse, leaf.decode, trust.parse)

    def case(rng: Random) -> str:
        data = rng.randbytes(rng.randrange(300))
        assert Evidence(data, TRUST_FILE).verify().outcome is Outcome.REFUSED
        for reader in readers:
            with pytest.raises(EvidenceError):
                reader(data)
        return "refused"

    fuzz(case)
