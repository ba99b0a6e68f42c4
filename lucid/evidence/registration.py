"""Who may sign: registrations of recorders' and closers' keys, and the genesis, which names validators."""

from typing import Annotated, ClassVar, Literal

import msgspec

from lucid.evidence import dsse, statements
from lucid.evidence.fields import Digest, Millis, Name, Record, Text
from lucid.evidence.statements import Statement

Role = Literal["recorder", "closer"]


class Registration(Statement, frozen=True, kw_only=True):
    """A key introduces itself to the log, and signs this with itself: it proves that somebody holds it."""

    PAYLOAD_TYPE: ClassVar[str] = "application/vnd.lucid.registration+json"

    v: Literal[1] = 1
    role: Role
    """`recorder` signs anchors and manifests; `closer` signs the manifests of lost recorders."""
    public_key: Digest
    """The raw Ed25519 public key in hex."""
    host: Text
    """The host that holds the private key."""
    time_ms: Millis

    @property
    def key_id(self) -> str:
        """By what name signatures refer to this key."""
        return dsse.key_id(bytes.fromhex(self.public_key))


class Validator(Record, frozen=True, kw_only=True):
    """A key that votes on blocks and cosigns checkpoints."""

    name: Name
    public_key: Digest


class Genesis(Statement, frozen=True, kw_only=True):
    """Entry 0 of a log: who runs it from the start. Signed by its first validator."""

    PAYLOAD_TYPE: ClassVar[str] = "application/vnd.lucid.genesis+json"

    v: Literal[1] = 1
    origin: Name
    """The log's name, which is also the chain's; the first line of its checkpoints."""
    time_ms: Millis
    block_time_ms: Annotated[int, msgspec.Meta(ge=1, le=3_600_000)]
    """Time between blocks, in milliseconds."""
    validators: Annotated[tuple[Validator, ...], msgspec.Meta(min_length=1, max_length=128)]

    def __post_init__(self) -> None:
        if len({v.name for v in self.validators}) < len(self.validators):
            raise ValueError("two validators share a name")
        if len({v.public_key for v in self.validators}) < len(self.validators):
            raise ValueError("two validators share a public_key")


def verify_registration(envelope: dsse.Envelope) -> Registration:
    """Return the registration if the key it introduces signed it; raise an EvidenceError otherwise."""
    statements.require_type(envelope, Registration)
    claimed = statements.read(envelope, Registration)
    return statements.verify(envelope, Registration, bytes.fromhex(claimed.public_key))


def verify_genesis(envelope: dsse.Envelope) -> Genesis:
    """Return the genesis if the first validator it names signed it; raise an EvidenceError otherwise."""
    statements.require_type(envelope, Genesis)
    claimed = statements.read(envelope, Genesis)
    return statements.verify(envelope, Genesis, bytes.fromhex(claimed.validators[0].public_key))
