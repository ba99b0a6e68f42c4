"""Reading anchors back: what the chain says about them is believed only as far as it is proven."""

from collections.abc import Mapping

from lucid.contracts.blockchain_engine import Evidence
from lucid.evidence import block, checkpoint, log, merkle
from lucid.evidence.errors import VerificationError
from lucid.evidence.trust import Trust


def prove(evidence: Evidence, trust: Trust, wanted: Mapping[str, bytes]) -> dict[str, int]:
    """Return for each wanted entry, by hash, its place in the log that a quorum has cosigned.

    `wanted` holds the entries as they were handed in. Raise an EvidenceError if any of them is missing or
    unproven, or if the checkpoint is not the trusted chain's.
    """
    genesis = block.decode(evidence.genesis.encode())
    header = block.decode(evidence.header.encode())
    if block.block_hash(genesis) != trust.genesis_hash or header.chain != trust.origin:
        raise VerificationError("the chain is not the one that was met first; it was begun anew or exchanged")
    note = checkpoint.parse_note(evidence.checkpoint.encode())
    if note.body != checkpoint.body(header):
        raise VerificationError("the checkpoint is not the rendering of the header in the same answer")
    signed = len(checkpoint.verify_cosignatures(note, trust.validators).times)
    if signed < trust.quorum:
        raise VerificationError(f"{signed} validators cosigned the checkpoint, {trust.quorum} are needed")
    root = bytes.fromhex(header.log_root)
    merkle.verify_consistency(
        genesis.log_size, header.log_size, bytes.fromhex(genesis.log_root), root, _raw(evidence.consistency)
    )
    places = {}
    for item in evidence.entries:
        leaf = log.entry_hash(item.envelope.encode())
        merkle.verify_inclusion(leaf, item.index, header.log_size, _raw(item.proof), root)
        places[leaf.hex()] = item.index
    if missing := wanted.keys() - places.keys():
        raise VerificationError(f"{len(missing)} anchors are not in the answer, for example {min(missing)}")
    return {name: places[name] for name in wanted}


def _raw(hashes: tuple[str, ...]) -> list[bytes]:
    return [bytes.fromhex(each) for each in hashes]
