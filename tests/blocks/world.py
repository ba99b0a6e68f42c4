"""Keys that sign, and what they sign, for tests of the chain. The same name gives the same key."""

import base64
import hashlib
import uuid
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lucid.blocks.entries import LogEntry, parse
from lucid.blocks.frontier import Frontier
from lucid.blocks.state import ChainState, apply_entry
from lucid.evidence import block, canonical, dsse, merkle, statements
from lucid.evidence.block import Header
from lucid.evidence.life import Access, Erasure, Hold, Violation
from lucid.evidence.manifest import EndReason, InterimAnchor, Manifest, RecordedTrack
from lucid.evidence.registration import Genesis, Registration, Role, Validator

ORIGIN = "lucid.example/log"
START_MS = 1_700_000_000_000


def private_key(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(seed(name))


def seed(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def root_of(count: int) -> str:
    """The root of a recording with `count` chunks."""
    return merkle.root(merkle.leaf_hash(b"chunk %d" % number) for number in range(count)).hex()


@dataclass
class Signer:
    """Somebody with a key: a recorder or a closer."""

    name: str
    role: Role = "recorder"
    key: Ed25519PrivateKey = field(init=False)

    def __post_init__(self) -> None:
        self.key = private_key(self.name)

    @property
    def public_key(self) -> bytes:
        return self.key.public_key().public_bytes_raw()

    @property
    def key_id(self) -> str:
        return dsse.key_id(self.public_key)

    def registration(self, *, time_ms: int = START_MS) -> LogEntry:
        claim = Registration(
            role=self.role, public_key=self.public_key.hex(), host=f"{self.name}.example", time_ms=time_ms
        )
        return parse(statements.sign(claim, self.key))

    def anchor(
        self,
        session: str,
        count: int,
        *,
        root: str | None = None,
        time_ms: int = START_MS,
        recorder: "Signer | None" = None,
    ) -> LogEntry:
        claim = InterimAnchor(
            session=session,
            recorder=(recorder or self).key_id,
            count=count,
            root=root or root_of(count),
            time_ms=time_ms + count,
        )
        return parse(statements.sign(claim, self.key))

    def manifest(
        self,
        session: str,
        count: int,
        *,
        end_reason: EndReason = "stopped",
        attested: int | None = None,
        recorder: "Signer | None" = None,
        root: str | None = None,
        end_ms: int = START_MS + 1000,
        policy_sha256: str = "0" * 64,
    ) -> LogEntry:
        claim = Manifest(
            session=session,
            owner="ada",
            host=f"{(recorder or self).name}.example",
            policy_sha256=policy_sha256,
            tracks=(RecordedTrack(track=0, codec='video/mp4; codecs="avc1.640028"', count=count),),
            start_ms=START_MS,
            end_ms=end_ms,
            count=count,
            root=root or root_of(count),
            end_reason=end_reason,
            gaps=(),
            attested_count=count if attested is None else attested,
            recorder=(recorder or self).key_id,
        )
        return parse(statements.sign(claim, self.key))

    def access(self, session: str, *, time_ms: int = START_MS) -> LogEntry:
        claim = Access(
            session=session, who="ada", what="replay", start_ms=START_MS, end_ms=START_MS, time_ms=time_ms
        )
        return parse(statements.sign(claim, self.key))

    def hold(self, session: str, *, held: bool = True, time_ms: int = START_MS) -> LogEntry:
        claim = Hold(session=session, held=held, who="ada", reason="court", time_ms=time_ms)
        return parse(statements.sign(claim, self.key))

    def violation(self, session: str, *, time_ms: int = START_MS) -> LogEntry:
        claim = Violation(session=session, kind="agent_lost", detail="no answer for 5 s", time_ms=time_ms)
        return parse(statements.sign(claim, self.key))

    def erasure(self, session: str, *, time_ms: int = START_MS) -> LogEntry:
        claim = Erasure(session=session, reason="request", time_ms=time_ms, backups_until_ms=time_ms)
        return parse(statements.sign(claim, self.key))


def session_id(number: int) -> str:
    return str(uuid.UUID(int=number))


def recording(recorder: Signer, session: str, anchors: int = 3) -> list[LogEntry]:
    """A whole session without its registration: opened, anchored, closed."""
    return [recorder.anchor(session, count) for count in range(anchors)] + [
        recorder.manifest(session, anchors)
    ]


def genesis_entry(*validators: str, time_ms: int = START_MS) -> bytes:
    claim = Genesis(
        origin=ORIGIN,
        time_ms=time_ms,
        block_time_ms=1000,
        validators=tuple(
            Validator(name=name, public_key=Signer(name).public_key.hex()) for name in validators
        ),
    )
    return statements.sign(claim, private_key(validators[0]))


def genesis(*validators: str) -> tuple[Header, ChainState]:
    """Block 0 and the state after it."""
    header = block.genesis_header(genesis_entry(*validators))
    return header, ChainState(Frontier().append(bytes.fromhex(header.log_root)))


def applied(state: ChainState, *entries: LogEntry) -> ChainState:
    for entry in entries:
        state = apply_entry(state, entry)
    return state


def forged(entry: LogEntry) -> LogEntry:
    """The same statement under a signature that does not fit."""
    signature = entry.envelope.signatures[0]
    broken = bytearray(base64.b64decode(signature.sig))
    broken[0] ^= 1
    changed = dsse.Envelope(
        payload=entry.envelope.payload,
        payload_type=entry.envelope.payload_type,
        signatures=(dsse.Signature(keyid=signature.keyid, sig=base64.b64encode(broken).decode()),),
    )
    return parse(canonical.encode(changed))
