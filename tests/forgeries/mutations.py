"""Structure-aware mutations: edits that keep most of a bundle whole, so that they get past the first step.

Everything follows from the random generator that is handed in.
"""

import base64
import json
from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

from lucid.evidence import archive, checkpoint, dsse
from tests.evidence.world import COSIGNED_S, private_key
from tests.forgeries.forging import Members
from tests.forgeries.records import WORLD, canonical_json

_ODD: tuple[object, ...] = (
    *(0, 1, -1, 2**31, 2**53 - 1, 2**53, 2**64, 10**400, 0.5, 1e300, float("nan")),
    *("", "0", "\0", "\ud800", "é" * 300, "x" * 70_000, "0" * 64, "018f2b6e-7c1d-4b3a-9e52-0c4d8a6f1b28"),
    *(None, True, [], {}, [[]] * 70, {"v": 1}),
)
_KEYS = (WORLD.key("recorder"), WORLD.key("a stranger"), private_key("nowhere", "nobody"))
"""Keys that a forger may hold: the recorder's own, a registered one, and one made up."""


def mutated_bytes(rng: Random, data: bytes) -> bytes:
    """Flip, overwrite, insert, remove, repeat or cut off a few bytes."""
    if not data:
        return rng.randbytes(rng.randrange(1, 9))
    start = rng.randrange(len(data))
    end = min(len(data), start + rng.choice((1, 1, 2, 8, 64, 512)))
    piece = data[start:end]
    instead = (
        bytes([piece[0] ^ 1 << rng.randrange(8)]) + piece[1:],
        rng.randbytes(len(piece)),
        bytes(len(piece)),
        piece + rng.randbytes(rng.randrange(1, 9)),
        b"",
        piece * 2,
        piece[::-1],
    )
    if not rng.randrange(8):
        return data[:start]
    return data[:start] + rng.choice(instead) + data[end:]


def mutated_json(rng: Random, data: bytes) -> bytes:
    """Change one thing in a JSON text; write it in canonical form, or now and then in another."""
    root = json.loads(data)
    holders = list(_holders(root))
    if holders:
        _change(rng, rng.choice(holders), holders)
    if rng.randrange(10):
        return _written(root, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return _written(root, indent=rng.choice((None, 1)), ensure_ascii=rng.random() < 0.5)


def _written(root: object, **form: Any) -> bytes:
    return json.dumps(root, **form).encode(errors="surrogatepass")


def _holders(node: object) -> Any:
    """Every object and list that is not empty."""
    if isinstance(node, dict | list) and node:
        yield node
        for item in node.values() if isinstance(node, dict) else node:
            yield from _holders(item)


def _change(rng: Random, holder: Any, holders: list[Any]) -> None:
    keys = list(holder) if isinstance(holder, dict) else range(len(holder))
    key = rng.choice(keys)
    match rng.randrange(7):
        case 0:
            holder[key] = deepcopy(rng.choice(_ODD))
        case 1:
            del holder[key]
        case 2:
            holder[rng.choice(keys)] = deepcopy(holder[key])
        case 3:
            other = rng.choice(holders)
            holder[key] = deepcopy(rng.choice(list(other.values() if isinstance(other, dict) else other)))
        case 4 if isinstance(holder, list):
            holder.insert(rng.randrange(len(holder) + 1), deepcopy(holder[key]))
        case 4:
            holder[rng.choice(("v", "zz", "payload", ""))] = deepcopy(rng.choice(_ODD))
        case _:
            holder[key] = _nudged(rng, holder[key])


def _nudged(rng: Random, value: object) -> object:
    """A value of the same kind, close by."""
    if isinstance(value, int):
        return value + rng.choice((-1000, -1, 1, 1000))
    if isinstance(value, str) and value:
        position = rng.randrange(len(value))
        return value[:position] + rng.choice("0123456789abcdefXYZ+/=-") + value[position + 1 :]
    return deepcopy(rng.choice(_ODD))


def mutated_envelope(rng: Random, data: bytes) -> bytes:
    """Change an envelope, or the statement within it, signed anew or not."""
    if rng.random() < 0.4:
        return mutated_json(rng, data)
    envelope = json.loads(data)
    payload = base64.b64decode(envelope["payload"])
    payload = mutated_json(rng, payload) if rng.random() < 0.9 else mutated_bytes(rng, payload)
    if rng.random() < 0.6:
        return dsse.sign(envelope["payloadType"], payload, rng.choice(_KEYS))
    return canonical_json(envelope | {"payload": base64.b64encode(payload).decode()})


def mutated_entry(rng: Random, line: bytes) -> bytes:
    if rng.random() < 0.5:
        return mutated_json(rng, line)
    entry = json.loads(line)
    envelope = mutated_envelope(rng, canonical_json(entry["envelope"]))
    return b'{"envelope":%b,"index":%d,"proof":%b}' % (
        envelope,
        entry["index"],
        canonical_json(entry["proof"]),
    )


def mutated_lines(rng: Random, data: bytes, donor: bytes, change: Callable[[Random, bytes], bytes]) -> bytes:
    """Remove, repeat, move, exchange or change a line."""
    lines = data.splitlines(keepends=True)
    if not lines:
        return donor
    one, two = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(8):
        case 0:
            del lines[one]
        case 1:
            lines.insert(two, lines[one])
        case 2:
            lines[one], lines[two] = lines[two], lines[one]
        case 3:
            lines[one] = rng.choice(donor.splitlines(keepends=True) or [b"\n"])
        case 4:
            lines[one] = mutated_bytes(rng, lines[one])
        case _:
            lines[one] = change(rng, lines[one].removesuffix(b"\n")) + b"\n"
    return b"".join(lines)


def mutated_note(rng: Random, note: bytes) -> bytes:
    """Change a checkpoint's lines, or add a cosignature by a key that the forger holds."""
    if rng.random() < 0.7:
        return mutated_lines(rng, note, note, mutated_bytes)
    text = note.decode(errors="replace").partition("\n\n")[0] + "\n"
    name = rng.choice((*WORLD.validator_names, *WORLD.witness_names, "x"))
    return note + checkpoint.cosign(text, name, rng.choice(_KEYS), COSIGNED_S).encode()


def mutated_bundle(rng: Random, members: Members, donor: Members) -> bytes:
    """Make one to three changes to a bundle's members, and now and then one to the file itself."""
    members = members.copy()
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if members:
            _change_member(rng, members, donor)
    data = b"".join(_packed(rng, name, content) for name, content in members) + archive.END
    return data if rng.randrange(10) else mutated_bytes(rng, data)


def _change_member(rng: Random, members: Members, donor: Members) -> None:
    one, two = rng.randrange(len(members)), rng.randrange(len(members))
    if rng.random() < 0.4:  # most of what is signed is there
        one = next((at for at, (name, _) in enumerate(members) if name == "entries.jsonl"), one)
    name, content = members[one]
    other = dict(donor).get(name, b"")
    match rng.randrange(40):
        case 0:
            del members[one]
        case 1:
            members.insert(two, members[one])
        case 2:
            members[one], members[two] = members[two], members[one]
        case 3:
            members[one] = (members[two][0], content)
        case 4:
            members[one] = (name, members[two][1])
        case 5:
            members[one] = (name, other)
        case 6:
            members[:] = [(kept, data) for kept, data in members if not kept.startswith("chunks/")]
        case 7:
            members[one] = (name, mutated_bytes(rng, content))
        case _:
            members[one] = (name, _mutated_content(rng, name, content, other))


def _mutated_content(rng: Random, name: str, content: bytes, donor: bytes) -> bytes:
    try:
        if name == "checkpoint":
            return mutated_note(rng, content)
        if name == "entries.jsonl":
            return mutated_lines(rng, content, donor, mutated_entry)
        if name == "leaves.jsonl":
            return mutated_lines(rng, content, donor, mutated_json)
        if name.endswith(".json"):
            return mutated_json(rng, content)
    except (ValueError, TypeError, KeyError, AttributeError):
        pass  # an earlier change has left no structure to be aware of
    return mutated_bytes(rng, content)


def _packed(rng: Random, name: str, content: bytes) -> bytes:
    header = archive.member_header(name, len(content))
    if not rng.randrange(100):
        header = mutated_bytes(rng, header)
    return header + content + archive.padding(len(content))
