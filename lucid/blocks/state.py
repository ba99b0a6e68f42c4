"""The state transition: what the chain knows, what an entry may change, and when a block is valid.

Free functions over immutable values. A `ChainState` need not hold everything: a slice with the keys and
sessions that a block touches (`touched`) gives the same result as the whole.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lucid.blocks.entries import LogEntry, Refused
from lucid.blocks.frontier import Frontier
from lucid.blocks.transactions import transactions_root
from lucid.evidence import block, dsse, merkle, registration
from lucid.evidence.block import Header
from lucid.evidence.errors import EvidenceError
from lucid.evidence.life import Access, Erasure, Hold, Violation
from lucid.evidence.manifest import InterimAnchor, Manifest
from lucid.evidence.registration import Registration, Role

MAX_BLOCK_BYTES = 1024 * 1024
"""Bytes of all entries of a block."""
MAX_TRANSACTIONS = 1000
"""Transactions of a block."""
MAX_TRANSACTION_ENTRIES = 1000
"""Entries of a transaction."""


class InvalidBlock(Exception):
    """A block breaks a rule; the text says which."""


@dataclass(frozen=True, slots=True)
class Key:
    """A registered key."""

    public_key: bytes
    """Raw Ed25519 public key, 32 bytes."""
    role: Role
    """What it may sign."""


@dataclass(frozen=True, slots=True)
class Session:
    """What the log says about one session so far."""

    recorder: str
    """Key id of the recorder that opened it; only this one may go on."""
    count: int
    """Leaves at the last anchor."""
    root: str
    """Root at the last anchor, hex."""
    closed: bool
    """Whether its manifest is in the log; then no anchor follows."""
    held: bool = False
    """Whether a legal hold is on it."""
    erased: bool = False
    """Whether its tombstone is in the log."""


@dataclass(frozen=True, slots=True)
class ChainState:
    """All that decides whether the next entry is allowed."""

    log: Frontier
    """Size and right edge of the log."""
    keys: Mapping[str, Key] = field(default_factory=dict)
    """Registered keys by key id."""
    sessions: Mapping[str, Session] = field(default_factory=dict)
    """Sessions by id."""
    entries: frozenset[str] = frozenset()
    """Hashes of entries that are in the log: none of them joins it again."""


@dataclass(frozen=True, slots=True)
class Touched:
    """The part of the state that some entries need."""

    keys: frozenset[str]
    """Key ids."""
    sessions: frozenset[str]
    """Session ids."""
    entries: frozenset[str]
    """Hashes of the entries themselves."""


def touched(entries: Iterable[LogEntry]) -> Touched:
    """Return the keys and sessions that decide about `entries`."""
    entries = tuple(entries)
    return Touched(
        keys=frozenset(entry.signer for entry in entries),
        sessions=frozenset(entry.session for entry in entries if entry.session is not None),
        entries=frozenset(entry.hash for entry in entries),
    )


def apply_entry(state: ChainState, entry: LogEntry) -> ChainState:
    """Return the state after `entry` has joined the log; raise Refused if it must not."""
    if entry.hash in state.entries:
        raise Refused("the entry is in the log already")
    return replace(
        _apply_claim(state, entry),
        log=state.log.append(bytes.fromhex(entry.hash)),
        entries=state.entries | {entry.hash},
    )


def validate_header(parent: Header, header: Header) -> None:
    """Check what a header says on its own and about the block before it; raise InvalidBlock."""
    expectations = (
        ("chain", header.chain, parent.chain),
        ("height", header.height, parent.height + 1),
        ("previous", header.previous, block.block_hash(parent)),
    )
    for name, found, expected in expectations:
        if found != expected:
            raise InvalidBlock(f"{name} is {found}, expected {expected}")
    if header.time_ms <= parent.time_ms:
        raise InvalidBlock(f"time_ms is {header.time_ms}, not after the block before ({parent.time_ms})")


def apply_block(
    parent: Header, state: ChainState, header: Header, transactions: Sequence[Sequence[LogEntry]]
) -> ChainState:
    """Return the state after a block; raise InvalidBlock if it breaks any rule.

    `parent` is the header before it, `state` the state before it. The two differ after a void block: it keeps
    its place in the chain of headers but has changed nothing.
    """
    validate_header(parent, header)
    _check_limits(transactions)
    for number, entry in enumerate(entry for transaction in transactions for entry in transaction):
        try:
            state = apply_entry(state, entry)
        except Refused as refused:
            raise InvalidBlock(f"entry {number} of the block, {entry.hash}: {refused}") from refused
    root = transactions_root([entry.hash for entry in transaction] for transaction in transactions)
    commitments = (
        ("transaction_count", header.transaction_count, len(transactions)),
        ("transactions_root", header.transactions_root, root),
        ("log_size", header.log_size, state.log.size),
        ("log_root", header.log_root, state.log.root().hex()),
    )
    for name, found, computed in commitments:
        if found != computed:
            raise InvalidBlock(f"{name} is {found}, executing the block gives {computed}")
    return state


def _check_limits(transactions: Sequence[Sequence[LogEntry]]) -> None:
    if len(transactions) > MAX_TRANSACTIONS:
        raise InvalidBlock(f"{len(transactions)} transactions; at most {MAX_TRANSACTIONS} are allowed")
    for transaction in transactions:
        if not 1 <= len(transaction) <= MAX_TRANSACTION_ENTRIES:
            raise InvalidBlock(f"a transaction has {len(transaction)} entries, not 1 to 1000")
    size = sum(len(entry.data) for transaction in transactions for entry in transaction)
    if size > MAX_BLOCK_BYTES:
        raise InvalidBlock(f"{size} bytes; a block has at most {MAX_BLOCK_BYTES}")


def _apply_claim(state: ChainState, entry: LogEntry) -> ChainState:
    match entry.claim:
        case Registration():
            return _register(state, entry)
        case InterimAnchor() as anchor:
            return _anchor(state, entry, anchor)
        case Manifest() as manifest:
            return _close(state, entry, manifest)
        case Access() | Hold() | Erasure() | Violation() as claim:
            return _live_on(state, entry, claim)


def _register(state: ChainState, entry: LogEntry) -> ChainState:
    try:
        claim = registration.verify_registration(entry.envelope)
    except EvidenceError as error:
        raise Refused(str(error)) from error
    if claim.key_id in state.keys:
        raise Refused(f"key {claim.key_id} is registered already; hand in its first registration")
    key = Key(bytes.fromhex(claim.public_key), claim.role)
    return replace(state, keys={**state.keys, claim.key_id: key})


def _anchor(state: ChainState, entry: LogEntry, anchor: InterimAnchor) -> ChainState:
    signer = _verified_signer(state, entry)
    if signer.role != "recorder" or entry.signer != anchor.recorder:
        raise Refused("an anchor is signed by its recorder, with a key registered in the role recorder")
    session = state.sessions.get(anchor.session)
    if session is None:
        if anchor.count != 0:
            raise Refused(f"session {anchor.session} is not open; its first anchor has count 0")
        session = Session(anchor.recorder, 0, merkle.EMPTY_ROOT.hex(), closed=False)
    _require_open(session, anchor.session, anchor.recorder)
    _require_growth(session, anchor.count, anchor.root)
    session = replace(session, count=anchor.count, root=anchor.root)
    return replace(state, sessions={**state.sessions, anchor.session: session})


def _close(state: ChainState, entry: LogEntry, manifest: Manifest) -> ChainState:
    signer = _verified_signer(state, entry)
    session = state.sessions.get(manifest.session)
    if session is None:
        raise Refused(f"session {manifest.session} is not open; anchor it with count 0 first")
    _require_open(session, manifest.session, manifest.recorder)
    _require_growth(session, manifest.count, manifest.root)
    if manifest.end_reason == "recorder_lost":
        if signer.role != "closer":
            raise Refused("the manifest of a lost recorder is signed by a key registered in the role closer")
        if manifest.attested_count != session.count:
            raise Refused(
                f"attested_count is {manifest.attested_count}, the recorder's last anchor has {session.count}"
            )
    elif entry.signer != session.recorder:
        raise Refused("a manifest is signed by the recorder itself, unless its end_reason is recorder_lost")
    return replace(state, sessions={**state.sessions, manifest.session: replace(session, closed=True)})


def _live_on(state: ChainState, entry: LogEntry, claim: Access | Hold | Erasure | Violation) -> ChainState:
    """What happens to a session beside its recording, or to what there is of it already."""
    if _verified_signer(state, entry).role != "closer":
        raise Refused(f"an entry of kind {entry.kind} is signed by a key registered in the role closer")
    session = state.sessions.get(claim.session)
    if session is None:
        raise Refused(f"session {claim.session} is not on the log; anchor it with count 0 first")
    if isinstance(claim, Hold):
        session = replace(session, held=claim.held)
    elif isinstance(claim, Erasure):
        _require_erasable(session, claim.session)
        session = replace(session, erased=True)
    return replace(state, sessions={**state.sessions, claim.session: session})


def _require_erasable(session: Session, name: str) -> None:
    if not session.closed:
        raise Refused(f"session {name} is not closed; only what has ended can be erased")
    if session.held:
        raise Refused(f"session {name} is under a legal hold; end the hold first")
    if session.erased:
        raise Refused(f"session {name} is erased already: its tombstone is in the log")


def _verified_signer(state: ChainState, entry: LogEntry) -> Key:
    key = state.keys.get(entry.signer)
    if key is None:
        raise Refused(f"key {entry.signer} is not registered; hand in its registration first")
    try:
        dsse.verify(entry.envelope, entry.envelope.payload_type, key.public_key)
    except EvidenceError as error:
        raise Refused(str(error)) from error
    return key


def _require_open(session: Session, name: str, recorder: str) -> None:
    if session.closed:
        raise Refused(f"session {name} is closed: its manifest is in the log")
    if session.recorder != recorder:
        raise Refused(f"session {name} was opened by recorder {session.recorder}, not by {recorder}")


def _require_growth(session: Session, count: int, root: str) -> None:
    """Counts never fall. The same count may come again, a sign of life in a pause, with the same root."""
    if count < session.count:
        raise Refused(f"count is {count}, but {session.count} leaves are anchored already")
    if count == session.count and root != session.root:
        raise Refused(f"another root for the same {count} leaves: {root}, anchored before: {session.root}")
