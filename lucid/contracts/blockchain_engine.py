"""blockchain-engine: blocks, the log, its checkpoint, and proofs."""

from typing import Annotated, Literal

import msgspec

from lucid.contracts.types import Count, EnvelopeText, Hash
from lucid.kit.errors import Code
from lucid.kit.routes import Access, Nothing, Route, Stream

SERVICE = "blockchain-engine"
MAX_ENTRIES = 1000
"""Log entries in one transaction."""
MAX_TRANSACTION = 1024 * 1024
"""Bytes of one transaction; also the limit of a block."""


class Transaction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A batch of log entries. Sending the same entries again changes nothing."""

    kind: Literal["session_anchor"]
    entries: Annotated[tuple[EnvelopeText, ...], msgspec.Meta(min_length=1, max_length=MAX_ENTRIES)]


class Refusal(msgspec.Struct, frozen=True):
    """An entry that the chain's rules do not allow, and why."""

    entry: Hash
    reason: str


class Accepted(msgspec.Struct, frozen=True):
    """The transaction waits durably for a block. Entries are named by their leaf hashes."""

    transaction: Hash
    entries: tuple[Hash, ...]
    refused: tuple[Refusal, ...]


class ChainInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What identifies this chain, and how far it has come."""

    origin: str
    genesis_hash: Hash
    validators: tuple[str, ...]
    """Cosignature keys, as C2SP verifier keys."""
    quorum: int
    height: int
    """Height of the newest final block."""
    log_size: int
    block_time_ms: int


class ChainStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How the chain is doing."""

    height: int
    pending_entries: int
    last_block_ms: int
    unanchored_seconds: float
    """Age of the oldest entry that no final block holds."""


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A block: its header exactly as hashed, and what it added to the log."""

    height: int
    hash: Hash
    header: str
    """Canonical JSON."""
    state: Literal["proposed", "final", "void"]
    entries: tuple[Hash, ...]
    votes: tuple[str, ...]
    """DSSE envelopes."""


class HeightPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names a block."""

    height: Count


class BlocksQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Newest first, going down from `before`."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20
    before: Count | None = None


class Blocks(msgspec.Struct, frozen=True):
    """A page of blocks."""

    blocks: tuple[Block, ...]


class InclusionQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which entry, in the tree of which size (default: the checkpoint's)."""

    entry: Hash
    size: Count | None = None


class Inclusion(msgspec.Struct, frozen=True):
    """An inclusion proof (RFC 9162 section 2.1.3)."""

    entry: Hash
    index: int
    size: int
    root: Hash
    proof: tuple[Hash, ...]


class ConsistencyQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two tree sizes, `first` at most `second`."""

    first: Count
    second: Count


class Consistency(msgspec.Struct, frozen=True):
    """A consistency proof (RFC 9162 section 2.1.4)."""

    first: int
    second: int
    proof: tuple[Hash, ...]


class EntryPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names a log entry by its leaf hash."""

    entry: Hash


class Entry(msgspec.Struct, frozen=True):
    """Where an entry stands. `index` and `height` are known once it is final."""

    entry: Hash
    state: Literal["pending", "final", "refused"]
    index: int | None = None
    height: int | None = None
    reason: str | None = None


class EvidenceQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The entries that a bundle needs, by leaf hash, and under which block's checkpoint; else the newest."""

    entries: Annotated[tuple[Hash, ...], msgspec.Meta(min_length=1, max_length=100_000)]
    height: Count | None = None


class ProvenEntry(msgspec.Struct, frozen=True):
    """An entry with its proof to the checkpoint in the same answer."""

    index: int
    envelope: str
    proof: tuple[Hash, ...]


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All that a bundle takes from the chain, for one checkpoint."""

    genesis: str
    """Header of block 0, canonical JSON."""
    header: str
    """Header that the checkpoint renders, canonical JSON."""
    checkpoint: str
    """C2SP signed note with the validators' cosignatures."""
    consistency: tuple[Hash, ...]
    """From the genesis log to the checkpoint."""
    entries: tuple[ProvenEntry, ...]
    """In log order."""


INFO = Route(
    SERVICE, "GET", "/chain/info", Nothing, Nothing, ChainInfo, "What identifies this chain",
    access=Access.PUBLIC,
)  # fmt: skip
STATUS = Route(
    SERVICE, "GET", "/chain/status", Nothing, Nothing, ChainStatus, "How the chain is doing",
    access=Access.PUBLIC,
)  # fmt: skip
TRUST = Route(
    SERVICE, "GET", "/chain/trust", Nothing, Nothing, Stream,
    "A trust file for this chain; compare it with one obtained another way", access=Access.PUBLIC,
    media="application/json",
)  # fmt: skip
BLOCKS = Route(
    SERVICE,
    "GET",
    "/chain/blocks",
    BlocksQuery,
    Nothing,
    Blocks,
    "Blocks, newest first",
    access=Access.PUBLIC,
)
BLOCK = Route(
    SERVICE, "GET", "/chain/blocks/{height}", HeightPath, Nothing, Block, "One block",
    access=Access.PUBLIC, errors=(Code.NOT_FOUND,),
)  # fmt: skip
CHECKPOINT = Route(
    SERVICE, "GET", "/chain/checkpoint", Nothing, Nothing, Stream,
    "The newest cosigned checkpoint, a C2SP signed note", access=Access.PUBLIC, media="text/plain",
)  # fmt: skip
INCLUSION = Route(
    SERVICE, "GET", "/chain/proofs/inclusion", InclusionQuery, Nothing, Inclusion,
    "Prove that an entry is in the log", access=Access.PUBLIC, errors=(Code.NOT_FOUND, Code.OUT_OF_RANGE),
)  # fmt: skip
CONSISTENCY = Route(
    SERVICE, "GET", "/chain/proofs/consistency", ConsistencyQuery, Nothing, Consistency,
    "Prove that the log only grew", access=Access.PUBLIC, errors=(Code.OUT_OF_RANGE,),
)  # fmt: skip
SUBMIT = Route(
    SERVICE, "POST", "/chain/transactions", Nothing, Transaction, Accepted,
    "Hand over log entries; answered once they are stored durably", status=202, max_body=2 * MAX_TRANSACTION,
    idempotent=True, errors=(Code.TOO_LARGE,),
)  # fmt: skip
ENTRY = Route(
    SERVICE, "GET", "/chain/entries/{entry}", EntryPath, Nothing, Entry, "Where an entry stands",
    errors=(Code.NOT_FOUND,),
)  # fmt: skip
EVIDENCE = Route(
    SERVICE, "POST", "/chain/evidence", Nothing, EvidenceQuery, Evidence,
    "Entries, proofs and checkpoint that belong together", idempotent=True, max_body=8 * 1024 * 1024,
    errors=(Code.NOT_FOUND,),
)  # fmt: skip

ROUTES = (
    INFO, STATUS, TRUST, BLOCKS, BLOCK, CHECKPOINT, INCLUSION, CONSISTENCY, SUBMIT, ENTRY, EVIDENCE,
)  # fmt: skip
