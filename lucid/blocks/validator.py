"""A validator: judges blocks by executing them itself, and signs votes and checkpoints with its key."""

import os
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lucid.blocks.entries import LogEntry
from lucid.blocks.state import ChainState, InvalidBlock, apply_block
from lucid.blocks.votes import Verdict
from lucid.evidence import block, checkpoint, dsse, merkle, statements
from lucid.evidence.block import Header, Vote
from lucid.evidence.checkpoint import Checkpoint, Cosigner
from lucid.evidence.errors import FormatError
from lucid.evidence.registration import Genesis

MAX_AHEAD_MS = 60_000
"""How far a proposer's clock may be ahead of a validator's."""


class ForkError(Exception):
    """Signing would contradict what this validator has signed before."""


class Validator:
    """One validator's key, and its memory of the newest checkpoint that it has cosigned.

    The memory is a file of its own, outside the database: a database that was set back or exchanged must not
    make a validator cosign a second history.
    """

    def __init__(self, name: str, seed: bytes, memory: Path) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._memory = memory
        self.cosigner = Cosigner(name, self._key.public_key().public_bytes_raw())
        self.key_id = dsse.key_id(self.cosigner.public_key)

    def sign_genesis(self, genesis: Genesis) -> bytes:
        """Return entry 0 of a new log, of which this is the first validator."""
        return statements.sign(genesis, self._key)

    def vote(self, header: Header, verdict: Verdict) -> str:
        """Return the signed vote on a block, a DSSE envelope."""
        vote = Vote(chain=header.chain, height=header.height, block=block.block_hash(header), verdict=verdict)
        return statements.sign(vote, self._key).decode()

    def remembered(self) -> Checkpoint | None:
        """Return the newest checkpoint that was cosigned, or None; raise ForkError if the file is damaged."""
        try:
            return checkpoint.parse_body(self._memory.read_text())
        except FileNotFoundError:
            return None
        except FormatError as error:
            raise ForkError(f"{self._memory} is damaged ({error}); restore it before this goes on") from error

    def cosign(self, header: Header, log: merkle.Tree, time_s: int) -> str:
        """Return the cosignature line for a final header's checkpoint, remembered before it is made.

        `log` holds at least the header's entries. Raise ForkError if the log does not extend the one that
        was cosigned last.
        """
        self.require_extension(header.chain, log, header.log_size)
        text = checkpoint.body(header)
        _write_durably(self._memory, text)
        return checkpoint.cosign(text, self.cosigner.name, self._key, time_s)

    def require_extension(self, origin: str, log: merkle.Tree, size: int) -> None:
        """Raise ForkError unless the first `size` leaves of `log` extend what was cosigned last."""
        last = self.remembered()
        if last is None:
            return
        if last.origin != origin or last.size > size or log.root(last.size) != last.root:
            raise ForkError(
                f"the log {origin} of size {size} in MongoDB does not extend the one of size {last.size} "
                f"({last.origin}) that this validator has cosigned; the database was set back or exchanged: "
                f"restore newer data. {self._memory} is what remembers"
            )


def judge(
    parent: Header,
    state: ChainState,
    header: Header,
    transactions: Sequence[Sequence[LogEntry]],
    *,
    validators: Sequence[Cosigner],
    now_ms: int,
) -> ChainState:
    """Return the state after a proposed block; raise InvalidBlock if it deserves a reject.

    Beyond what holds for ever (`apply_block`), the proposer must be admitted and its clock not ahead. The
    earliest time that the block before allows is never ahead: where clocks were set back, the chain goes on.
    """
    if header.proposer not in {dsse.key_id(validator.public_key) for validator in validators}:
        raise InvalidBlock(f"its proposer, key {header.proposer}, is no admitted validator")
    if header.time_ms > max(now_ms + MAX_AHEAD_MS, parent.time_ms + 1):
        raise InvalidBlock(f"time_ms is {header.time_ms - now_ms} ms ahead of this validator's clock")
    return apply_block(parent, state, header, transactions)


def _write_durably(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + ".new")
    with fresh.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
