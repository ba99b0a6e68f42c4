"""A block's header, its hash, and a validator's vote on it."""

import hashlib
from typing import ClassVar, Literal

from lucid.evidence import canonical, log, merkle, registration
from lucid.evidence.fields import Count, Digest, Millis, Name, Record
from lucid.evidence.statements import Statement

NO_PREVIOUS = "0" * 64
"""`previous` of the block at height 0."""

_HASH_DOMAIN = b"lucid/block/v1\x00"
HEADER_LIMIT = 2048
"""Bytes of a header's canonical JSON, at most."""


class Header(Record, frozen=True, kw_only=True):
    """What a block's hash covers."""

    v: Literal[1] = 1
    """Version of this record."""
    chain: Name
    """Name of the chain and of its log: the genesis' `origin`."""
    height: Count
    """The block's position in the chain; the genesis block has 0."""
    previous: Digest
    """Hash of the block before; 64 zeros at height 0."""
    time_ms: Millis
    """When the block was proposed."""
    proposer: Digest
    """Key id of the validator that proposed it; at height 0, of the first validator."""
    transactions_root: Digest
    """RFC 9162 root over the block's transactions, in order; the empty root when there is none."""
    transaction_count: Count
    """How many transactions the block holds."""
    log_size: Count
    """Entries in the log once this block is applied."""
    log_root: Digest
    """Root of the log once this block is applied."""

    def __post_init__(self) -> None:
        if (self.height == 0) != (self.previous == NO_PREVIOUS):
            raise ValueError("previous is 64 zeros at height 0 and nowhere else")
        if self.log_size < 1:
            raise ValueError("log_size is 0, but entry 0, the genesis, is always there")


class Vote(Statement, frozen=True, kw_only=True):
    """A validator's word on one block, given once for each height."""

    PAYLOAD_TYPE: ClassVar[str] = "application/vnd.lucid.vote+json"

    v: Literal[1] = 1
    """Version of this record."""
    chain: Name
    """Name of the chain."""
    height: Count
    """Height of the block voted on."""
    block: Digest
    """Hash of the block voted on."""
    verdict: Literal["accept", "reject"]
    """Whether the validator, having executed the block itself, agrees."""


def encode(header: Header) -> bytes:
    """Return the header's canonical JSON."""
    return canonical.encode(header)


def decode(data: bytes) -> Header:
    """Return the header that `data` is the canonical JSON of; raise FormatError otherwise."""
    return canonical.decode(data, Header, field="header", limit=HEADER_LIMIT)


def block_hash(header: Header) -> str:
    """Return SHA-256("lucid/block/v1" || 0x00 || canonical JSON) in hex: the name of the block."""
    return hashlib.sha256(_HASH_DOMAIN + encode(header)).hexdigest()


def genesis_header(entry: bytes) -> Header:
    """Return the header of block 0 for a signed genesis; everything in it follows from that entry.

    Raise an EvidenceError if `entry` is not a genesis signed by its first validator.
    """
    envelope = log.parse_entry(entry)
    genesis = registration.verify_genesis(envelope)
    return Header(
        chain=genesis.origin,
        height=0,
        previous=NO_PREVIOUS,
        time_ms=genesis.time_ms,
        proposer=envelope.signer,
        transactions_root=merkle.EMPTY_ROOT.hex(),
        transaction_count=0,
        log_size=1,
        log_root=merkle.root([log.entry_hash(entry)]).hex(),
    )
