"""A small world of evidence, made in memory from a seed: keys, a log, a session, its bundle and trust file.

Every deviation that a test wants is an option; what is not asked for is consistent. The same seed gives the
same bytes, sealing included.
"""

import dataclasses
import hashlib
import io
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lucid.evidence import (
    block,
    bundle,
    canonical,
    checkpoint,
    dsse,
    leaf,
    log,
    merkle,
    sealing,
    statements,
    trust,
)
from lucid.evidence.block import Header
from lucid.evidence.bundle import Entry, Parts
from lucid.evidence.leaf import ChunkId, Leaf
from lucid.evidence.manifest import InterimAnchor, Manifest, RecordedTrack
from lucid.evidence.policy import Clipboard, Input, PolicyDocument, TrustPolicy
from lucid.evidence.registration import Genesis, Registration, Role, Validator
from lucid.evidence.trust import Trust, TrustFile

ORIGIN = "lucid.example/log"
SESSION = "018f2b6e-7c1d-4b3a-9e52-0c4d8a6f1b27"
OTHER_SESSION = "018f2b6e-7c1d-4b3a-9e52-0c4d8a6f1b28"
START_MS = 1_700_000_000_000
CHUNK_MS = 10_000
VIDEO = 'video/mp4; codecs="avc1.640028"'
SOUND = 'audio/mp4; codecs="opus"'
COSIGNED_S = START_MS // 1000 + 3600


def private_key(seed: str, name: str) -> Ed25519PrivateKey:
    """A key that follows from the seed and the name."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest())


def public_key(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def cosigner(seed: str, name: str) -> checkpoint.Cosigner:
    return checkpoint.Cosigner(name, public_key(private_key(seed, name)))


@dataclass
class World:
    """One finished session on a log with validators and a witness. Set options, then use the results."""

    seed: str = "world"
    chunks: int = 6
    """Chunks on track 0."""
    chunk_size: int = 500
    """Incompressible bytes in each chunk; some that compress follow."""
    sound_chunks: int = 2
    """Chunks on track 1, interleaved with the first of track 0."""
    validators: int = 4
    witnesses: int = 1
    cosigning_validators: int | None = None
    """How many validators cosign; all by default."""
    end_reason: str = "stopped"
    anchored: tuple[int, ...] = (0, 2, 5)
    """Counts of the interim anchors."""
    recorder_name: str = "recorder"
    """Whose key signs as the recorder."""
    registered: dict[str, Role] = field(default_factory=lambda: {"recorder": "recorder"})
    """Keys that register before the session, in which roles."""
    registered_late: dict[str, Role] = field(default_factory=dict)
    """Keys that register after the session's first anchor."""
    manifest_changes: dict[str, Any] = field(default_factory=dict)
    """Fields in which the signed manifest deviates."""
    trusting: bool = True
    """Whether the session has a trust policy."""
    policy_signer: str = "owner"
    """Whose key signs the trust policy."""
    policy_changes: Callable[[bytes], bytes] = lambda policy: policy
    """Applied to the policy document before its hash is signed."""
    anchor_changes: Callable[[InterimAnchor], InterimAnchor] = lambda anchor: anchor
    """Applied to each anchor before it is signed."""
    leaf_changes: Callable[[list[Leaf]], list[Leaf]] = lambda leaves: leaves
    """Applied to the leaves before anything is anchored."""

    def __post_init__(self) -> None:
        rng = random.Random(self.seed)  # noqa: S311 - reproducible test data, nothing secret
        self.session_key = rng.randbytes(32)
        self.raws: list[bytes] = []
        self.sealed: list[bytes] = []
        self._seal(rng)
        self.policy = self.policy_changes(self._policy())
        self.entries: list[bytes] = []
        self.session_entries: list[int] = []
        self._write_log()
        self.tree = merkle.Tree(log.entry_hash(entry) for entry in self.entries)
        self.header = self._header(len(self.entries))
        self.parts = self._parts()

    def key(self, name: str) -> Ed25519PrivateKey:
        return private_key(self.seed, name)

    def key_id(self, name: str) -> str:
        return dsse.key_id(public_key(self.key(name)))

    @property
    def validator_names(self) -> list[str]:
        return [f"validator{number}.lucid.example" for number in range(self.validators)]

    @property
    def witness_names(self) -> list[str]:
        return [f"witness{number}.example.org" for number in range(self.witnesses)]

    @property
    def trust_file(self) -> TrustFile:
        return TrustFile(
            format="lucid-trust/v1",
            origin=ORIGIN,
            genesis_hash=block.block_hash(self.genesis),
            validators=tuple(cosigner(self.seed, name).vkey for name in self.validator_names),
            quorum=trust.default_quorum(self.validators),
            witnesses=tuple(cosigner(self.seed, name).vkey for name in self.witness_names),
            witness_quorum=self.witnesses,
        )

    @property
    def trust(self) -> Trust:
        return trust.read(self.trust_file)

    @property
    def note(self) -> bytes:
        return self.cosigned(self.header)

    @property
    def chunk_list(self) -> list[tuple[Leaf, bytes]]:
        return list(zip(self.leaves, self.sealed, strict=True))

    def bundle(self, *, chunks: list[tuple[Leaf, bytes]] | None = None, **changes: Any) -> bytes:
        """The bundle's bytes; `changes` replace fields of its parts. `chunks=[]` leaves the chunks out."""
        out = io.BytesIO()
        members = self.chunk_list if chunks is None else chunks
        bundle.write_bundle(
            out, dataclasses.replace(self.parts, **changes), [(item, [data]) for item, data in members]
        )
        return out.getvalue()

    def cosigned(self, header: Header, *, time_s: int = COSIGNED_S) -> bytes:
        """The checkpoint of `header`, cosigned by validators and witnesses."""
        text = checkpoint.body(header)
        names = self.validator_names[: self.cosigning_validators] + self.witness_names
        return checkpoint.write_note(
            text, [checkpoint.cosign(text, name, self.key(name), time_s) for name in names]
        )

    def _seal(self, rng: random.Random) -> None:
        leaves = []
        for track, index in self._order():
            raw = rng.randbytes(self.chunk_size) + b"frame " * rng.randrange(1, 400)
            chunk = ChunkId(SESSION, track, index)
            done = sealing._seal_with_salt(self.session_key, chunk, raw, rng.randbytes(32), rng.randbytes(32))
            start = START_MS + index * CHUNK_MS
            leaves.append(done.leaf(start_ms=start, end_ms=start + CHUNK_MS))
            self.raws.append(raw)
            self.sealed.append(bytes(done.data))
        self.leaves = self.leaf_changes(leaves)

    def _order(self) -> list[tuple[int, int]]:
        """Tracks are interleaved as a recorder's append order interleaves them."""
        order = []
        for index in range(max(self.chunks, self.sound_chunks)):
            order += [(0, index)] if index < self.chunks else []
            order += [(1, index)] if index < self.sound_chunks else []
        return order

    def _write_log(self) -> None:
        self._append(
            Genesis(
                origin=ORIGIN,
                time_ms=START_MS - 1_000_000,
                block_time_ms=5000,
                validators=tuple(
                    Validator(name=name, public_key=public_key(self.key(name)).hex())
                    for name in self.validator_names
                ),
            ),
            self.validator_names[0],
        )
        self.genesis = block.genesis_header(self.entries[0])
        self._append(self._registration("a stranger", "recorder"), "a stranger")
        for name, role in self.registered.items():
            self._append(self._registration(name, role), name, ours=True)
        leaf_tree = merkle.Tree(leaf.leaf_hash(item) for item in self.leaves)
        for number, count in enumerate(self.anchored):
            anchor = InterimAnchor(
                session=SESSION,
                recorder=self.key_id(self.recorder_name),
                count=count,
                root=leaf_tree.root(count).hex(),
                time_ms=START_MS + number * 60_000,
            )
            self._append(self.anchor_changes(anchor), self.recorder_name, ours=True)
            self._append(self._registration(f"bystander {number}", "recorder"), f"bystander {number}")
        for name, role in self.registered_late.items():
            self._append(self._registration(name, role), name, ours=True)
        self.manifest = self._manifest(leaf_tree)
        self._append(
            self.manifest, "closer" if self.end_reason == "recorder_lost" else self.recorder_name, ours=True
        )
        self._append(self._registration("a latecomer", "recorder"), "a latecomer")

    def _manifest(self, leaf_tree: merkle.Tree) -> Manifest:
        counts = {
            track: sum(item.track == track for item in self.leaves)
            for track in sorted({item.track for item in self.leaves})
        }
        manifest = Manifest(
            session=SESSION,
            owner="ada",
            host="desk1.lucid.example",
            policy_sha256=hashlib.sha256(self.policy).hexdigest(),
            tracks=tuple(
                RecordedTrack(track=track, codec=VIDEO if track == 0 else SOUND, count=count)
                for track, count in counts.items()
            ),
            start_ms=START_MS,
            end_ms=max((item.end_ms for item in self.leaves), default=START_MS),
            count=len(self.leaves),
            root=leaf_tree.root().hex(),
            end_reason=self.end_reason,  # type: ignore[arg-type]  # options are plain strings
            gaps=(),
            attested_count=self.anchored[-1] if self.end_reason == "recorder_lost" else len(self.leaves),
            recorder=self.key_id(self.recorder_name),
        )
        return msgspec.structs.replace(manifest, **self.manifest_changes)

    @property
    def trust_policy(self) -> TrustPolicy:
        return TrustPolicy(
            name="office",
            input=Input(mouse=True, keyboard=True),
            clipboard=Clipboard(to_desktop=True),
            owner_key=public_key(self.key("owner")).hex(),
        )

    def _policy(self) -> bytes:
        document = PolicyDocument(frame_rate=30, max_bytes=2**30, quality="high", retention_days=30)
        if self.trusting:
            envelope = statements.sign(self.trust_policy, self.key(self.policy_signer))
            document = msgspec.structs.replace(document, trust=envelope.decode())
        return canonical.encode(document)

    def _registration(self, name: str, role: Role) -> Registration:
        return Registration(
            role=role,
            public_key=public_key(self.key(name)).hex(),
            host="desk1.lucid.example",
            time_ms=START_MS - 500_000,
        )

    def _append(self, statement: statements.Statement, signer: str, *, ours: bool = False) -> None:
        if ours:
            self.session_entries.append(len(self.entries))
        self.entries.append(statements.sign(statement, self.key(signer)))

    def _header(self, log_size: int) -> Header:
        return Header(
            chain=ORIGIN,
            height=7,
            previous=block.block_hash(self.genesis),
            time_ms=START_MS + 3_600_000,
            proposer=self.key_id(self.validator_names[0]),
            transactions_root=merkle.EMPTY_ROOT.hex(),
            transaction_count=0,
            log_size=log_size,
            log_root=self.tree.root(log_size).hex(),
        )

    def _parts(self) -> Parts:
        size = len(self.entries)
        return Parts(
            session=SESSION,
            genesis=block.encode(self.genesis),
            header=block.encode(self.header),
            checkpoint=self.note,
            consistency=tuple(item.hex() for item in self.tree.consistency_proof(1, size)),
            policy=self.policy,
            entries=tuple(
                Entry(
                    index=index,
                    envelope=log.parse_entry(self.entries[index]),
                    proof=tuple(item.hex() for item in self.tree.inclusion_proof(index, size)),
                )
                for index in self.session_entries
            ),
            leaves=tuple(leaf.encode(item) for item in self.leaves),
        )
