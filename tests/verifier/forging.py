"""Bundles with damage beneath honest signatures: what was signed is wrong, all proofs and cosignatures hold.

Only such bundles reach the rules that lie behind the signatures.
"""

import base64
import hashlib
import json
from random import Random

import msgspec

from lucid.evidence import block, dsse, merkle
from lucid.evidence.policy import TrustPolicy
from lucid.evidence.registration import Registration
from tests.evidence.world import World
from tests.forgeries.forging import archive_of, members_of
from tests.forgeries.mutations import mutated_json, mutated_lines
from tests.forgeries.records import canonical_json

_OTHER_TYPES = ("", "x", Registration.PAYLOAD_TYPE, "application/vnd.lucid.vote+json", "é")


def forged(rng: Random, world: World) -> bytes:
    """The bundle of a world in which a leaf or a statement was wrong before it was signed and logged."""
    leaves = b"".join(line + b"\n" for line in world.parts.leaves)
    if rng.random() < 0.5:
        leaves = mutated_lines(rng, leaves, b"{}\n", _nudged if rng.random() < 0.5 else mutated_json)
    hashes = [merkle.leaf_hash(line) for line in leaves.split(b"\n")[:-1]]
    policy = _other_policy(rng, world) if rng.random() < 0.3 else world.policy
    target = rng.choice([None, *world.session_entries])
    entries = list(world.entries)
    for index in world.session_entries:
        entries[index] = _signed_anew(rng, world, entries[index], hashes, policy, damage=index == target)
    return _logged(world, entries, leaves, policy, with_chunks=rng.random() < 0.5)


def _other_policy(rng: Random, world: World) -> bytes:
    """The policy document with damage in it or in its trust policy, which the owner signed all the same."""
    document = json.loads(world.policy)
    if "trust" in document and rng.random() < 0.7:
        payload = base64.b64decode(json.loads(document["trust"])["payload"])
        payload = _nudged(rng, payload) if rng.random() < 0.3 else mutated_json(rng, payload)
        kind = TrustPolicy.PAYLOAD_TYPE if rng.random() < 0.95 else rng.choice(_OTHER_TYPES)
        document["trust"] = dsse.sign(kind, payload, world.key("owner")).decode()
        return canonical_json(document)
    return mutated_json(rng, world.policy)


def _signed_anew(
    rng: Random, world: World, entry: bytes, hashes: list[bytes], policy: bytes, *, damage: bool
) -> bytes:
    """The statement of a log entry about these leaves, damaged or not, signed by the key that signed it."""
    envelope = json.loads(entry)
    kind, statement = envelope["payloadType"], json.loads(base64.b64decode(envelope["payload"]))
    if "root" in statement:
        statement["root"] = merkle.Tree(hashes).root(min(statement["count"], len(hashes))).hex()
    if "policy_sha256" in statement:
        statement["policy_sha256"] = hashlib.sha256(policy).hexdigest()
    payload = canonical_json(statement)
    if damage and rng.random() < 0.05:
        kind = rng.choice(_OTHER_TYPES)
    elif damage:
        payload = _nudged(rng, payload) if rng.random() < 0.5 else mutated_json(rng, payload)
    signer = next(
        name for name in world.registered if world.key_id(name) == envelope["signatures"][0]["keyid"]
    )
    return dsse.sign(kind, payload, world.key(signer))


def _nudged(rng: Random, data: bytes) -> bytes:
    """The record with one of its numbers a little different: the damage that looks most like the truth."""
    record = json.loads(data)
    holders = [record, *record.get("tracks", ()), *record.get("gaps", ())]
    holder = rng.choice(holders)
    names = [name for name, value in holder.items() if isinstance(value, int) and name != "v"]
    if names:
        name = rng.choice(names)
        holder[name] = max(0, holder[name] + rng.choice([-10_000, -2001, -2000, -1, 1, 2000, 2001, 10_000]))
    return canonical_json(record)


def _logged(world: World, entries: list[bytes], leaves: bytes, policy: bytes, *, with_chunks: bool) -> bytes:
    """The bundle once these entries are the log."""
    size = len(entries)
    tree = merkle.Tree(map(merkle.leaf_hash, entries))
    header = msgspec.structs.replace(world.header, log_root=tree.root().hex())
    lines = [
        b'{"envelope":%b,"index":%d,"proof":%b}\n'
        % (entries[index], index, canonical_json([item.hex() for item in tree.inclusion_proof(index, size)]))
        for index in world.session_entries
    ]
    proof = [item.hex() for item in tree.consistency_proof(1, size)]
    changed = {
        "header.json": block.encode(header),
        "checkpoint": world.cosigned(header),
        "consistency.json": canonical_json({"proof": proof}),
        "policy.json": policy,
        "entries.jsonl": b"".join(lines),
        "leaves.jsonl": leaves,
    }
    members = members_of(world.bundle(chunks=None if with_chunks else []))
    return archive_of((name, changed.get(name, content)) for name, content in members)
