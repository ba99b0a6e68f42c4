"""The places of a bundle's records: where each is, and how a bundle with other bytes in its place is made."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from lucid.evidence import block, bundle, checkpoint, dsse, policy, trust
from lucid.evidence.errors import EvidenceError
from lucid.evidence.leaf import LEAF_LIMIT
from lucid.evidence.manifest import Gap, InterimAnchor, Manifest
from lucid.evidence.registration import Registration
from tests.evidence.world import CHUNK_MS, START_MS, World
from tests.forgeries.forging import Evidence, members_of, with_line, with_member

WORLD = World(
    chunks=2,
    sound_chunks=1,
    validators=1,
    anchored=(0, 1),
    manifest_changes={
        "gaps": (Gap(track=0, start_ms=START_MS + CHUNK_MS, end_ms=START_MS + CHUNK_MS + 9, cause="paused"),)
    },
)
"""Small, with something in every field, and no cosigner to spare."""
GOOD = WORLD.bundle()
MEMBERS = dict(members_of(GOOD))
TRUST_FILE = trust.encode(WORLD.trust_file)

_PAYLOAD_LIMIT = 160 * 1024
"""What fits, in base64 and with its signature, into an envelope."""
_KINDS = {kind.PAYLOAD_TYPE: kind.__name__ for kind in (Registration, InterimAnchor, Manifest)}


@dataclass(frozen=True)
class Place:
    """One record in the bundle of `WORLD`."""

    name: str
    record: bytes
    """Its canonical JSON."""
    limit: int
    """Bytes that fit there."""
    put: Callable[[bytes], bytes]
    """The bundle with other bytes in this place."""
    malformed: str
    """The step that refuses bytes that are no such record."""
    steps: dict[str, str]
    """The step that refuses another well-formed value, by a regular expression over the value's path."""

    def evidence(self, record: bytes) -> Evidence:
        return Evidence(self.put(record), TRUST_FILE)


def _member(name: str, limit: int, malformed: str, steps: dict[str, str]) -> Place:
    return Place(name, MEMBERS[name], limit, partial(with_member, GOOD, name), malformed, steps)


def _leaf(number: int) -> Place:
    steps = {"v|session|index|codec": "leaves", "track": "completeness" if number else "leaves"}
    put = partial(with_line, GOOD, "leaves.jsonl", number)
    name = f"leaf {number}"
    return Place(name, WORLD.parts.leaves[number], LEAF_LIMIT, put, "leaves", {**steps, ".*": "completeness"})


def _entry(number: int, kind: str) -> Place:
    by = {"Registration": "signers", "InterimAnchor": "anchors", "Manifest": "manifest"}[kind]
    steps = {
        "index": "inclusion" if number else "signers",
        "envelope/payload": "signers" if kind == "Manifest" else by,
        "envelope/payloadType": "signers",
        "envelope/signatures/.*": by,
        "proof/.*": "inclusion",
    }
    line = MEMBERS["entries.jsonl"].splitlines()[number]
    put = partial(with_line, GOOD, "entries.jsonl", number)
    return Place(f"entry {number}", line, bundle._ENTRY_LIMIT, put, "archive", steps)


def _statement(number: int, kind: str, *, signed_anew: bool) -> Place:
    """A statement's own bytes, within its envelope within its entry."""
    entry = WORLD.parts.entries[number]

    def put(payload: bytes) -> bytes:
        line = json.loads(MEMBERS["entries.jsonl"].splitlines()[number])
        if signed_anew:
            signed = dsse.sign(entry.envelope.payload_type, payload, WORLD.key("recorder"))
            line["envelope"] = json.loads(signed)
        else:
            line["envelope"]["payload"] = base64.b64encode(payload).decode()
        return with_line(GOOD, "entries.jsonl", number, canonical_json(line))

    how = "signed anew" if signed_anew else "under its old signature"
    return Place(
        f"{kind} in entry {number}, {how}",
        entry.envelope.body,
        _PAYLOAD_LIMIT,
        put,
        "anchors" if kind == "InterimAnchor" else "signers",
        (_SIGNED_ANEW if signed_anew else _OLD_SIGNATURE)[kind],
    )


# Whoever holds a recorder's key can sign anything, but cannot put it on the log: inclusion is the last line.
_CONTRADICTIONS = r"v|recorder|end_reason|count|attested_count|tracks/.*/count|tracks/0/track|gaps/.*/cause"
_OLD_SIGNATURE = {
    "Registration": {".*": "signers"},
    "InterimAnchor": {".*": "anchors"},
    "Manifest": {_CONTRADICTIONS: "signers", ".*": "manifest"},
}
_SIGNED_ANEW = {
    "Registration": {"host": "manifest", "time_ms": "inclusion", ".*": "signers"},
    "InterimAnchor": {"time_ms": "inclusion", ".*": "anchors"},
    "Manifest": {
        _CONTRADICTIONS: "signers",
        "session|host": "manifest",
        "root|start_ms|tracks/1/track": "completeness",
        ".*": "inclusion",
    },
}


def _put_rendered_header(record: bytes) -> bytes:
    """Another header, and the checkpoint that renders it, with the cosignatures of the true one."""
    changed = with_member(GOOD, "header.json", record)
    try:
        text = checkpoint.body(block.decode(record))
    except EvidenceError:
        return changed  # no header, so nothing to render
    lines = WORLD.note.decode().partition("\n\n")[2]
    return with_member(changed, "checkpoint", f"{text}\n{lines}".encode())


def canonical_json(value: object) -> bytes:
    """RFC 8785 for what occurs here: ASCII keys, integers and strings without control characters."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


_ENTRY_KINDS = [_KINDS[entry.envelope.payload_type] for entry in WORLD.parts.entries]

PLACES = (
    _member("lucid-bundle.json", 1024, "archive", {"format": "archive", "session": "leaves"}),
    _member("genesis.json", block.HEADER_LIMIT, "genesis", {".*": "genesis"}),
    _member("header.json", block.HEADER_LIMIT, "checkpoint", {".*": "checkpoint"}),
    Place(
        "header.json, with the checkpoint to it",
        MEMBERS["header.json"],
        block.HEADER_LIMIT,
        _put_rendered_header,
        "checkpoint",
        # Proofs from a tree of 9 fit one of 10 as well: it is the cosignatures that say which it was.
        {"v": "checkpoint", "log_root": "inclusion", "chain": "genesis", ".*": "validators"},
    ),
    _member("consistency.json", 8 * 1024, "archive", {".*": "genesis"}),
    _member("policy.json", policy.DOCUMENT_LIMIT, "policy", {".*": "policy"}),
    *(_entry(number, kind) for number, kind in enumerate(_ENTRY_KINDS)),
    *(_statement(number, kind, signed_anew=False) for number, kind in enumerate(_ENTRY_KINDS)),
    *(_statement(number, kind, signed_anew=True) for number, kind in enumerate(_ENTRY_KINDS)),
    *(_leaf(number) for number in range(len(WORLD.leaves))),
)
