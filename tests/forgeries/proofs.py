"""Forgeries of the log: proofs of something else, hashes of another domain, other headers."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import msgspec

from lucid.evidence import block, checkpoint, trust
from lucid.evidence.manifest import InterimAnchor
from tests.evidence.verifying import CLEAN
from tests.evidence.world import ORIGIN, World
from tests.forgeries.forging import Evidence, Forgery, Row, clean, of_world, with_line, with_member
from tests.forgeries.records import canonical_json

Proof = tuple[str, ...]
Hash = Callable[[bytes], bytes]

ENTRIES = CLEAN.parts.entries
CONSISTENCY = CLEAN.parts.consistency
ANCHOR = 2
"""The entry whose proof is forged."""
PROOF = ENTRIES[ANCHOR].proof
ZEROS = "0" * 64
# The same recorder, the same log but for one anchor: another session's proofs.
OTHER = World(anchored=(0, 2))


def with_proof(proof: Proof, *, index: int | None = None) -> Evidence:
    """An entry with another proof, or at another place."""
    old = ENTRIES[ANCHOR]
    new = msgspec.structs.replace(old, proof=proof, index=old.index if index is None else index)
    return clean(entries=(*ENTRIES[:ANCHOR], new, *ENTRIES[ANCHOR + 1 :]))


def beyond_the_log() -> Evidence:
    return clean(entries=(*ENTRIES[:-1], msgspec.structs.replace(ENTRIES[-1], index=len(CLEAN.entries))))


def of_65_hashes() -> Evidence:
    line = {"envelope": msgspec.to_builtins(ENTRIES[0].envelope), "index": 2, "proof": [ZEROS] * 65}
    return Evidence(with_line(CLEAN.bundle(), "entries.jsonl", 0, canonical_json(line)))


def consistency_of_65_hashes() -> Evidence:
    record = canonical_json({"proof": [ZEROS] * 65})
    return Evidence(with_member(CLEAN.bundle(), "consistency.json", record))


def with_consistency(proof: Proof) -> Evidence:
    return clean(consistency=proof)


_INCLUSION: tuple[Row, ...] = (
    ("too long", "a longer path leads elsewhere",
     partial(with_proof, (*PROOF, ZEROS)), "inclusion", "too long"),
    ("too long by its own first", "as before",
     partial(with_proof, (PROOF[0], *PROOF)), "inclusion", "too long"),
    ("too short", "it ends at a node within", partial(with_proof, PROOF[:-1]), "inclusion", "too short"),
    ("without its first", "an inner node passes for a leaf",
     partial(with_proof, PROOF[1:]), "inclusion", "too short"),
    ("empty", "no proof", partial(with_proof, ()), "inclusion", "too short"),
    ("upside down", "the order is the proof", partial(with_proof, PROOF[::-1]), "inclusion", "another root"),
    ("of another entry", "it is there, elsewhere",
     partial(with_proof, ENTRIES[1].proof), "inclusion", "another root"),
    ("of another session", "a true proof of another log",
     partial(with_proof, OTHER.parts.entries[2].proof), "inclusion", "root"),
    ("for another place", "the entry's place is its time",
     partial(with_proof, PROOF, index=4), "inclusion", "another root"),
    ("beyond the log", "not yet there", beyond_the_log, "inclusion", "leaf 11 is not in a tree of 11"),
    ("of 65 hashes", "no tree is so deep", of_65_hashes, "archive", "length <= 64"),
)  # fmt: skip

_CONSISTENCY: tuple[tuple[str, str, Proof, str], ...] = (
    ("too long", "it leads past the root", (*CONSISTENCY, ZEROS), "too long"),
    ("too short", "it ends within the tree", CONSISTENCY[:-1], "too short"),
    ("empty", "history need not be kept", (), "too short"),
    ("upside down", "the order is the proof", CONSISTENCY[::-1], "does not begin with"),
    ("of another log", "another history", World(seed="elsewhere").parts.consistency, "does not begin"),
)


class ForeignTree:
    """RFC 9162's tree with other hash functions: what a verifier without hash domains would accept."""

    def __init__(self, entries: Sequence[bytes], leaf: Hash, node: Hash) -> None:
        self._hashes = [leaf(entry) for entry in entries]
        self._node = node

    def root(self) -> bytes:
        return self._root(self._hashes)

    def proof(self, index: int) -> Proof:
        return tuple(item.hex() for item in self._path(index, self._hashes))

    def _root(self, hashes: Sequence[bytes]) -> bytes:
        if len(hashes) == 1:
            return hashes[0]
        half = 1 << (len(hashes) - 1).bit_length() - 1
        return self._node(self._root(hashes[:half]) + self._root(hashes[half:]))

    def _path(self, index: int, hashes: Sequence[bytes]) -> list[bytes]:
        if len(hashes) == 1:
            return []
        half = 1 << (len(hashes) - 1).bit_length() - 1
        if index < half:
            return [*self._path(index, hashes[:half]), self._root(hashes[half:])]
        return [*self._path(index - half, hashes[half:]), self._root(hashes[:half])]


def sha256(prefix: bytes = b"", suffix: bytes = b"") -> Hash:
    return lambda data: hashlib.sha256(prefix + data + suffix).digest()


def twice(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


LEAF, NODE = sha256(b"\x00"), sha256(b"\x01")
DOMAINS: dict[str, tuple[Hash, Hash]] = {
    "leaves without a prefix": (sha256(), NODE),
    "leaves with the prefix of nodes": (NODE, NODE),
    "nodes without a prefix": (LEAF, sha256()),
    "nodes with the prefix of leaves": (LEAF, LEAF),
    "leaves and nodes exchanged": (NODE, LEAF),
    "the prefix at the end": (sha256(suffix=b"\x00"), sha256(suffix=b"\x01")),
    "double SHA-256": (twice, twice),
    "SHA-512/256": (
        lambda data: hashlib.new("sha512_256", b"\x00" + data).digest(),
        lambda data: hashlib.new("sha512_256", b"\x01" + data).digest(),
    ),
}


def log_hashed(leaf: Hash, node: Hash) -> Evidence:
    """The whole log in another hash domain, with right proofs in it, cosigned by everybody."""
    tree = ForeignTree(CLEAN.entries, leaf, node)
    header = msgspec.structs.replace(CLEAN.header, log_root=tree.root().hex())
    return clean(
        header=block.encode(header),
        checkpoint=CLEAN.cosigned(header),
        entries=tuple(msgspec.structs.replace(entry, proof=tree.proof(entry.index)) for entry in ENTRIES),
        consistency=tree.proof(0),
    )


def session_hashed(leaf: Hash, node: Hash) -> Evidence:
    """The session's tree in another hash domain, signed by its recorder and logged."""
    root = ForeignTree(CLEAN.parts.leaves, leaf, node).root().hex()
    return of_world(manifest_changes={"root": root})


def anchored_hashed(leaf: Hash, node: Hash) -> Evidence:
    """An interim anchor in another hash domain."""

    def change(anchor: InterimAnchor) -> InterimAnchor:
        if not anchor.count:
            return anchor
        tree = ForeignTree(CLEAN.parts.leaves[: anchor.count], leaf, node)
        return msgspec.structs.replace(anchor, root=tree.root().hex())

    return of_world(anchor_changes=change)


def block_hashed(digest: Hash) -> Evidence:
    """A checkpoint that names its block by another hash of the header, cosigned by everybody."""
    text = CLEAN.note.decode().partition("\n\n")[0] + "\n"
    true = block.block_hash(CLEAN.header)
    return cosigned(text.replace(true, digest(CLEAN.parts.header).hex()))


def cosigned(text: str) -> Evidence:
    """The bundle with another text of its checkpoint, cosigned by everybody."""
    names = CLEAN.validator_names + CLEAN.witness_names
    lines = [checkpoint.cosign(text, name, CLEAN.key(name), 1_700_003_600) for name in names]
    return clean(checkpoint=checkpoint.write_note(text, lines))


def with_header(**changes: object) -> Evidence:
    """Another header under the old checkpoint."""
    return clean(header=block.encode(msgspec.structs.replace(CLEAN.header, **changes)))


def with_text(old: str, new: str) -> Evidence:
    """Another checkpoint, cosigned by everybody, under the old header."""
    text = CLEAN.note.decode().partition("\n\n")[0] + "\n"
    assert old in text
    return cosigned(text.replace(old, new, 1))


def with_genesis(**changes: object) -> Evidence:
    return clean(genesis=block.encode(msgspec.structs.replace(CLEAN.genesis, **changes)))


def trusting(**changes: object) -> Evidence:
    """The good bundle, and an auditor who was told of another log."""
    return Evidence(CLEAN.bundle(), trust.encode(msgspec.structs.replace(CLEAN.trust_file, **changes)))


RENDERING = "is not the rendering of header.json"
_HEADERS: tuple[Row, ...] = (
    ("header of another height", "another block's", partial(with_header, height=8), "checkpoint", RENDERING),
    ("header of another log size", "a later log", partial(with_header, log_size=12), "checkpoint", RENDERING),
    ("header of another log root", "another log",
     partial(with_header, log_root=ZEROS), "checkpoint", RENDERING),
    ("checkpoint of another log size", "an earlier log",
     partial(with_text, "\n11\n", "\n10\n"), "checkpoint", RENDERING),
    ("checkpoint of another origin", "another log",
     partial(with_text, ORIGIN, "other.example"), "checkpoint", RENDERING),
    ("checkpoint with a line more", "what else was cosigned?",
     partial(with_text, "\nblock", "\nx\nblock"), "checkpoint", RENDERING),
    ("checkpoint without its block", "any header with this root",
     partial(cosigned, CLEAN.note.decode().partition("block")[0]), "checkpoint", RENDERING),
    ("checkpoint that is none", "nothing to cosign",
     partial(clean, checkpoint=b"hello"), "checkpoint", "note: no empty line"),
    ("checkpoint without signatures", "nobody",
     partial(clean, checkpoint=CLEAN.note.partition(b"\n\n")[0] + b"\n\n"), "checkpoint",
     "note: no empty line"),
    ("rewritten history without a trust file", "even then the log must extend its own block 0",
     lambda: Evidence(CLEAN.bundle(consistency=()), None), "genesis", "too short"),
    ("block 0 that is another block", "history begins later",
     partial(with_genesis, height=1, previous="1" * 64), "genesis", "is not block 0"),
    ("block 0 of another chain", "another log's",
     partial(with_genesis, chain="other.example"), "genesis", "is not block 0"),
    ("block 0 at another time", "another block 0",
     partial(with_genesis, time_ms=1), "genesis", "block 0 is [0-9a-f]+, you trust"),
    ("log of another name", "two logs, one history",
     partial(trusting, origin="other.example"), "genesis", "you trust 'other.example'"),
    ("genesis hash of the bare header", "wrong domain: the trust file was made by hand",
     partial(trusting, genesis_hash=hashlib.sha256(CLEAN.parts.genesis).hexdigest()), "genesis",
     "block 0 is [0-9a-f]+, you trust"),
    ("checkpoint that names its block by the bare header", "wrong domain",
     partial(block_hashed, sha256()), "checkpoint", RENDERING),
    ("checkpoint that names its block as a tree's leaf", "wrong domain",
     partial(block_hashed, LEAF), "checkpoint", RENDERING),
    ("entries of another session", "all true, on another log",
     partial(clean, entries=OTHER.parts.entries), "inclusion", "inclusion proof"),
)  # fmt: skip


def _domains() -> Iterator[Forgery]:
    why = "whoever can choose the domain can make a node pass for a leaf"
    for name, hashes in DOMAINS.items():
        yield Forgery(
            f"log hashed with {name}", why, partial(log_hashed, *hashes), "inclusion", "another root"
        )
        yield Forgery(
            f"session hashed with {name}",
            why,
            partial(session_hashed, *hashes),
            "completeness",
            "the leaves' root is",
        )
        yield Forgery(
            f"anchor hashed with {name}",
            why,
            partial(anchored_hashed, *hashes),
            "anchors",
            "has another root",
        )


PROOFS = (
    *(
        Forgery(f"inclusion proof {name}", why, make, step, said)
        for name, why, make, step, said in _INCLUSION
    ),
    *(
        Forgery(f"consistency proof {name}", why, partial(with_consistency, proof), "genesis", said)
        for name, why, proof, said in _CONSISTENCY
    ),
    Forgery(
        "consistency proof of 65 hashes",
        "no tree is so deep",
        consistency_of_65_hashes,
        "archive",
        "length <= 64",
    ),
    *(Forgery(*line) for line in _HEADERS),
    *_domains(),
)
