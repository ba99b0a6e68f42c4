"""What session-anchoring believes of the chain's answers."""

from pathlib import Path

import msgspec
import pytest

from lucid.blocks.proposal import Waiting, propose
from lucid.blocks.readback import prove
from lucid.blocks.validator import Validator
from lucid.blocks.votes import published_note
from lucid.contracts.blockchain_engine import Evidence, ProvenEntry
from lucid.evidence import block, checkpoint, merkle
from lucid.evidence.errors import EvidenceError
from lucid.evidence.trust import Trust
from tests.blocks.world import ORIGIN, START_MS, Signer, genesis, recording, seed, session_id

RECORDER = Signer("recorder")
GENESIS, EMPTY = genesis("validator")
ENTRIES = [RECORDER.registration(), *recording(RECORDER, session_id(1))]
WANTED = {entry.hash: entry.data for entry in ENTRIES[1:3]}
MADE = propose(
    GENESIS,
    EMPTY,
    [Waiting("0" * 64, entry) for entry in ENTRIES],
    proposer="0" * 64,
    time_ms=START_MS + 1,
)
LOG = merkle.Tree(bytes.fromhex(each) for each in [GENESIS.log_root, *(entry.hash for entry in ENTRIES)])


def hexes(hashes: list[bytes]) -> tuple[str, ...]:
    return tuple(each.hex() for each in hashes)


@pytest.fixture
def validator(tmp_path: Path) -> Validator:
    return Validator("validator", seed("validator"), tmp_path / "cosigned")


@pytest.fixture
def trust(validator: Validator) -> Trust:
    return Trust(ORIGIN, block.block_hash(GENESIS), (validator.cosigner,), 1, (), 0)


@pytest.fixture
def evidence(validator: Validator) -> Evidence:
    note = published_note(MADE.header, [validator.cosign(MADE.header, LOG, 1)], [validator.cosigner])
    assert note is not None
    return Evidence(
        genesis=block.encode(GENESIS).decode(),
        header=block.encode(MADE.header).decode(),
        checkpoint=note.decode(),
        consistency=hexes(LOG.consistency_proof(1)),
        entries=tuple(
            ProvenEntry(index, ENTRIES[index - 1].data.decode(), hexes(LOG.inclusion_proof(index)))
            for index in (2, 3)
        ),
    )


def test_proven_entries_are_believed(evidence: Evidence, trust: Trust) -> None:
    assert prove(evidence, trust, WANTED) == {ENTRIES[1].hash: 2, ENTRIES[2].hash: 3}


def test_an_entry_that_is_not_in_the_answer_is_not(evidence: Evidence, trust: Trust) -> None:
    with pytest.raises(EvidenceError, match="1 anchors are not in the answer"):
        prove(msgspec.structs.replace(evidence, entries=evidence.entries[:1]), trust, WANTED)


def test_an_entry_at_another_place_is_not(evidence: Evidence, trust: Trust) -> None:
    moved = msgspec.structs.replace(evidence.entries[0], index=1)
    with pytest.raises(EvidenceError, match="inclusion proof"):
        prove(msgspec.structs.replace(evidence, entries=(moved,)), trust, WANTED)


def test_a_chain_begun_anew_is_not(evidence: Evidence, trust: Trust) -> None:
    other = block.encode(msgspec.structs.replace(GENESIS, time_ms=START_MS + 5)).decode()
    with pytest.raises(EvidenceError, match="begun anew or exchanged"):
        prove(msgspec.structs.replace(evidence, genesis=other), trust, WANTED)


def test_a_header_that_nobody_cosigned_is_not(evidence: Evidence, trust: Trust) -> None:
    other = block.encode(msgspec.structs.replace(MADE.header, time_ms=START_MS + 5)).decode()
    with pytest.raises(EvidenceError, match="not the rendering"):
        prove(msgspec.structs.replace(evidence, header=other), trust, WANTED)


def test_a_checkpoint_without_a_quorum_is_not(evidence: Evidence, trust: Trust, tmp_path: Path) -> None:
    stranger = Validator("stranger", seed("stranger"), tmp_path / "stranger")
    note = checkpoint.write_note(checkpoint.body(MADE.header), [stranger.cosign(MADE.header, LOG, 1)])
    with pytest.raises(EvidenceError, match="0 validators cosigned"):
        prove(msgspec.structs.replace(evidence, checkpoint=note.decode()), trust, WANTED)


def test_a_log_that_does_not_extend_its_genesis_is_not(evidence: Evidence, trust: Trust) -> None:
    with pytest.raises(EvidenceError, match="consistency"):
        prove(msgspec.structs.replace(evidence, consistency=()), trust, WANTED)
