"""Counting: when a block is final or void, and when its checkpoint may be published.

Every quorum is floor(2n/3)+1 of the admitted validators, so that two quorums always share an honest one as
long as fewer than a third lie. A signature by anybody else, or for anything else, counts for nothing.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

from lucid.evidence import block, checkpoint, dsse, statements
from lucid.evidence.block import Header, Vote
from lucid.evidence.checkpoint import Cosigner
from lucid.evidence.errors import EvidenceError
from lucid.evidence.trust import default_quorum

Verdict = Literal["accept", "reject"]


def verdict(header: Header, votes: Iterable[str], validators: Sequence[Cosigner]) -> Verdict | None:
    """Return what a quorum of `validators` says about the block, or None while there is none.

    `votes` are DSSE envelopes. A validator that signed both verdicts has broken its word: it counts for none.
    """
    given: dict[str, set[Verdict]] = {}
    for text in votes:
        if (vote := _read(text, validators)) and _is_about(vote[1], header):
            given.setdefault(vote[0], set()).add(vote[1].verdict)
    quorum = default_quorum(len(validators))
    choices: tuple[Verdict, ...] = ("accept", "reject")
    for choice in choices:
        if sum(verdicts == {choice} for verdicts in given.values()) >= quorum:
            return choice
    return None


def published_note(header: Header, lines: Iterable[str], validators: Sequence[Cosigner]) -> bytes | None:
    """Return the checkpoint of `header` with the valid ones of `lines`, or None while a quorum is missing."""
    text = checkpoint.body(header)
    valid: dict[str, str] = {}
    for line in lines:
        try:
            note = checkpoint.parse_note(checkpoint.write_note(text, [line]))
            signed = checkpoint.verify_cosignatures(note, validators).times
        except EvidenceError:
            continue
        valid |= dict.fromkeys(signed, line)
    if len(valid) < default_quorum(len(validators)):
        return None
    return checkpoint.write_note(text, [valid[name] for name in sorted(valid)])


def _read(text: str, validators: Sequence[Cosigner]) -> tuple[str, Vote] | None:
    """The voter's name and its vote, or None if no validator signed this."""
    keys = {dsse.key_id(validator.public_key): validator for validator in validators}
    try:
        envelope = dsse.parse(text.encode())
        if (validator := keys.get(envelope.signer)) is None:
            return None
        return validator.name, statements.verify(envelope, Vote, validator.public_key)
    except EvidenceError:
        return None


def _is_about(vote: Vote, header: Header) -> bool:
    return (vote.chain, vote.height, vote.block) == (header.chain, header.height, block.block_hash(header))
