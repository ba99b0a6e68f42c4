"""Verifies an evidence bundle of a recorded Lucid session, without Lucid.

    python lucid_verify.py SESSION.lucid --trust trust.json

This file is a second, independent reading of Lucid's formats (docs/formats.md; "section N" below is a section
there). It shares no code with Lucid, needs nothing but Python 3.11 and `cryptography`, uses no network, and
reads top to bottom: values, records, hash tree, leaves, sealed chunks, statements, checkpoints, archive,
trust file, the steps. To decompress chunks that a bundle discloses it uses `zstandard`, if that is installed.

Exit codes: 0 verified; 1 refused; 2 the command or a file it names is unusable; 3 consistent, but without a
trust file anybody could have made the bundle.
"""

import argparse
import base64
import bisect
import hashlib
import hmac
import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

try:
    import zstandard
except ImportError:
    CAN_DECOMPRESS = False
else:
    CAN_DECOMPRESS = True

KIB, MIB = 1024, 1024 * 1024


class Refusal(Exception):
    """What was read is not what the formats demand; the message says which part and why."""


def refuse(why: str) -> NoReturn:
    """Ends the step that is under way."""
    raise Refusal(why)


def require(condition: bool, why: str) -> None:
    """Ends the step that is under way unless the condition holds."""
    if not condition:
        refuse(why)


# --- Values (section 1) ---------------------------------------------------------------------------

MAX_INTEGER = 2**53 - 1
Check = Callable[[object], bool]
"""Whether a JSON value is of some kind."""
Shape = Mapping[str, Check]
"""The fields of a record; none may be added, and none left out unless it is said to be optional."""


def integer(low: int = 0, high: int = MAX_INTEGER) -> Check:
    """A whole number within bounds; `true` is none."""
    return lambda value: type(value) is int and low <= value <= high


def spelled(pattern: str) -> Check:
    """A string that fits a regular expression as a whole."""
    fits = re.compile(pattern).fullmatch
    return lambda value: isinstance(value, str) and fits(value) is not None


def a_list(check: Check, low: int = 0, high: int = MAX_INTEGER) -> Check:
    """A list of `low` to `high` values of one kind."""
    return lambda value: isinstance(value, list) and low <= len(value) <= high and all(map(check, value))


def a_record(shape: Shape) -> Check:
    """An object with these fields."""
    return lambda value: misfit(value, shape) is None


def misfit(value: object, shape: Shape) -> str | None:
    """What keeps a value from being a record of this shape; None if nothing does."""
    if not isinstance(value, dict) or value.keys() != shape.keys():
        return f"not an object with exactly the fields {', '.join(sorted(shape))}"
    return next((f"{name} has no valid value" for name in shape if not shape[name](value[name])), None)


def is_base64(value: object) -> bool:
    """The one canonical spelling of some bytes (RFC 4648 section 4, padded, unused bits zero)."""
    try:
        return isinstance(value, str) and base64.b64encode(base64.b64decode(value)).decode() == value
    except ValueError:
        return False


def each(check: Check, *names: str) -> dict[str, Check]:
    """Several fields of one kind."""
    return dict.fromkeys(names, check)


def some_on(*channels: str) -> Check:
    """An object of channels that are on: at least one of these, none of any other name."""

    def check(value: object) -> bool:
        if not isinstance(value, dict) or not value:
            return False
        return value.keys() <= set(channels) and all(on is True for on in value.values())

    return check


INTEGER, TRACK, VERSION = integer(), integer(0, 2**32 - 1), integer(1, 1)
ANY_TEXT, TEXT = spelled(r"(?s).*"), spelled(r"[^\x00-\x1f\x7f]{1,255}")
NAME = spelled(r"[^\s+\x00-\x1f\x7f]{1,255}")
DIGEST = spelled("[0-9a-f]{64}")
SESSION = spelled("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PROOF = a_list(DIGEST, 0, 64)

# --- Records: canonical JSON (section 2) ----------------------------------------------------------

Record = dict[str, Any]
"""A JSON object that fits a shape."""


def no_fraction(literal: str) -> NoReturn:
    """There are no floats, and neither NaN nor Infinity."""
    raise ValueError(f"the number {literal[:20]} is not an integer")


def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; a key that occurs twice is an error."""
    if len(found := dict(pairs)) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


STRICT = json.JSONDecoder(parse_float=no_fraction, parse_constant=no_fraction, object_pairs_hook=distinct)
CANONICAL = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def canonical(record: Record) -> bytes:
    """The RFC 8785 form of a record that has no floats and only ASCII keys."""
    return CANONICAL.encode(record).encode()


def parse_json(data: bytes, where: str) -> tuple[Record, bytes]:
    """A strict JSON object, and its canonical form. Python's own limits end huge numbers and deep nesting."""
    try:
        value: object = STRICT.decode(data.decode())
        if isinstance(value, dict):
            return value, canonical(value)
    except RecursionError:
        refuse(f"{where} is nested too deeply")
    except ValueError as error:  # half a surrogate pair, too: JSON lets it pass, UTF-8 does not
        refuse(f"{where} is not strict JSON: {error}")
    refuse(f"{where} is not an object")


def read_record(data: bytes, shape: Shape, where: str, limit: int, optional: Shape | None = None) -> Record:
    """A record whose bytes are its one canonical form; the fields in `optional` may be absent."""
    require(len(data) <= limit, f"{where} is longer than {limit} bytes")
    record, form = parse_json(data, where)
    require(form == data, f"{where} is not in canonical form")
    found = {name: check for name, check in (optional or {}).items() if name in record}
    fault = misfit(record, {**shape, **found})
    require(fault is None, f"{where}: {fault}")
    return record


def split_lines(data: bytes, where: str, limit: int) -> list[bytes]:
    """The lines of a .jsonl member; each, the last one too, ends in a newline."""
    require(not data or data.endswith(b"\n"), f"the last line of {where} is incomplete")
    lines = data.split(b"\n")[:-1]
    require(all(len(line) <= limit for line in lines), f"{where} has a line of more than {limit} bytes")
    return lines


# --- Hash tree (section 3; RFC 9162 section 2.1) --------------------------------------------------


def sha256(*parts: bytes) -> bytes:
    """SHA-256 of the parts in a row. What each kind of hash begins with is in section 1."""
    return hashlib.sha256(b"".join(parts)).digest()


class Frontier:
    """A growing list of leaves, kept as the roots of its full subtrees, widest first."""

    def __init__(self) -> None:
        self.size = 0
        self._roots: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        """Adds a leaf hash; each trailing one bit of the old size is a full subtree that it completes."""
        size = self.size
        while size & 1:
            leaf, size = sha256(b"\x01", self._roots.pop(), leaf), size >> 1
        self._roots.append(leaf)
        self.size += 1

    def root(self) -> str:
        """The root over all leaves so far, in hex."""
        *wider, root = self._roots or [sha256()]
        for left in reversed(wider):
            root = sha256(b"\x01", left, root)
        return root.hex()


def climb(index: int, size: int, proof: Iterable[str]) -> Iterator[tuple[bytes, bool]]:
    """Each hash of a proof with the side it joins on (True: left), from leaf `index` to the root of `size`.

    Raises Refusal if the proof is longer or shorter than that way.
    """
    last = size - 1
    for item in proof:
        require(last > 0, "a proof is too long")
        left = bool(index & 1) or index == last
        yield bytes.fromhex(item), left
        while left and not index & 1 and index:
            index, last = index >> 1, last >> 1
        index, last = index >> 1, last >> 1
    require(last == 0, "a proof is too short")


def included(entry: "Entry", size: int, root: str) -> bool:
    """Whether the proof leads from the entry to the root of a log of `size` (RFC 9162, 2.1.3.2)."""
    require(entry.position < size, f"index {entry.position} is beyond the log's {size} entries")
    found = entry.hash
    for item, left in climb(entry.position, size, entry.proof):
        found = sha256(b"\x01", item, found) if left else sha256(b"\x01", found, item)
    return found.hex() == root


def extends(first: Record, header: Record, proof: Sequence[str]) -> bool:
    """Whether the log of one header, of 1 entry or more, begins that of another (RFC 9162, 2.1.4.2)."""
    old_size, size = first["log_size"], header["log_size"]
    if old_size == size:
        return not proof and bool(first["log_root"] == header["log_root"])
    require(old_size < size, "the log is smaller than the one that it should extend")
    index, last = old_size - 1, size - 1
    while index & 1:  # up to the widest full subtree that ends where the old log ends
        index, last = index >> 1, last >> 1
    require(bool(proof), "the consistency proof is too short")
    seed, *rest = proof if index else [first["log_root"], *proof]
    old = new = bytes.fromhex(seed)
    for item, left in climb(index, last + 1, rest):
        old = sha256(b"\x01", item, old) if left else old
        new = sha256(b"\x01", item, new) if left else sha256(b"\x01", new, item)
    return (old.hex(), new.hex()) == (first["log_root"], header["log_root"])


# --- Leaves (section 5) ---------------------------------------------------------------------------

MAX_LEAF = KIB
MAX_RECORDING = 16 * MIB
SEALING_OVERHEAD = 80
"""Bytes by which a sealed chunk is longer than its payload: salt 32, raw nonce 32, tag 16."""
MAX_SEALED = MAX_RECORDING + SEALING_OVERHEAD
LEAF = (
    {"v": VERSION, "session": SESSION, "track": TRACK, "codec": spelled("none|zstd")}
    | {"plain_size": integer(1, MAX_RECORDING), "sealed_size": integer(1 + SEALING_OVERHEAD, MAX_SEALED)}
    | each(INTEGER, "index", "start_ms", "end_ms")
    | each(DIGEST, "sealed_sha256", "key_commitment", "raw_commitment")
)

Chunk = tuple[str, int, str]
"""Name, size and SHA-256 of a sealed chunk in the archive."""


class Leaf(NamedTuple):
    """What the steps need of one leaf."""

    hash: bytes
    track: int
    start_ms: int
    end_ms: int
    chunk: Chunk


def read_leaf(line: bytes, where: str) -> Record:
    """A leaf, with what its fields say about each other."""
    leaf = read_record(line, LEAF, where, MAX_LEAF)
    require(leaf["start_ms"] <= leaf["end_ms"], f"{where} ends before it starts")
    fits = leaf["codec"] == "zstd" or leaf["sealed_size"] == leaf["plain_size"] + SEALING_OVERHEAD
    require(fits, f"{where}: sealed_size does not follow from plain_size")
    return leaf


def chunk_name(record: Record) -> str:
    """The archive member that a leaf, or a disclosed key, is about."""
    return f"chunks/{record['track']}/{record['index']}"


# --- Sealed chunks whose keys are disclosed (section 4) -------------------------------------------

CHUNK_KEY = {"index": INTEGER, "key": DIGEST, "track": TRACK}
CODECS = {"none": b"\x00", "zstd": b"\x01"}


def open_chunk(sealed: bytes, chunk_key: bytes, leaf: Record) -> None:
    """Opens a chunk down to what its recorder committed to, or to its zstd frame if that must stay closed."""
    session = bytes.fromhex(leaf["session"].replace("-", ""))
    chunk_id = session + leaf["track"].to_bytes(4) + leaf["index"].to_bytes(8)
    info = b"lucid/chunk/v1" + chunk_id  # HKDF-Expand (RFC 5869, 2.3) to two blocks of 32 bytes: K and C
    key = hmac.digest(chunk_key, info + b"\x01", "sha256")
    commitment = hmac.digest(chunk_key, key + info + b"\x02", "sha256")
    require(commitment.hex() == leaf["key_commitment"], "its key is not the one to which its leaf commits")
    size = leaf["plain_size"]
    additional = b"\x01" + chunk_id + CODECS[leaf["codec"]] + size.to_bytes(8)
    try:
        opened = AESGCM(key).decrypt(bytes(12), sealed[32:], additional)
    except InvalidTag:
        refuse("its key does not open it")
    raw_nonce, recording = opened[:32], opened[32:]
    if leaf["codec"] == "zstd":
        if not CAN_DECOMPRESS:
            return
        recording = decompress(recording, size)
    committed = sha256(raw_nonce, recording).hex() == leaf["raw_commitment"]
    require(committed, "its recording is not the one to which its recorder committed")


def decompress(frame: bytes, size: int) -> bytes:
    """What is in one zstd frame, with nothing after it, that states this size."""
    try:
        require(zstandard.frame_content_size(frame) == size, "its zstd frame does not state plain_size")
        return zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError:
        refuse("it does not hold one whole zstd frame")


# --- Signed statements (section 6) ----------------------------------------------------------------

MAX_ENVELOPE = 256 * KIB
MAX_ENTRY_LINE = MAX_ENVELOPE + 8 * KIB
ANCHOR_TYPE = "application/vnd.lucid.anchor+json"
MANIFEST_TYPE = "application/vnd.lucid.manifest+json"
REGISTRATION_TYPE = "application/vnd.lucid.registration+json"
SIGNATURE = {"keyid": DIGEST, "sig": spelled("[A-Za-z0-9+/]{85}[AQgw]==")}
ENVELOPE = {"payload": is_base64, "payloadType": ANY_TEXT, "signatures": a_list(a_record(SIGNATURE), 1, 1)}
LOG_LINE = {"envelope": a_record(ENVELOPE), "index": INTEGER, "proof": PROOF}
IN_SESSION = {"v": VERSION, "session": SESSION}
ANCHOR = IN_SESSION | each(INTEGER, "count", "time_ms") | each(DIGEST, "recorder", "root")
END_REASON = spelled("stopped|violation|command_ended|display_lost|quota|failed|recorder_lost")
CAUSE = spelled("paused|display_lost|capture_restarted|recorder_restarted|quota|unexplained")
GAP = {"cause": CAUSE, "track": TRACK, "start_ms": INTEGER, "end_ms": INTEGER}
RECORDED_TRACK = {"codec": TEXT, "count": INTEGER, "track": TRACK}
MANIFEST = (
    IN_SESSION
    | {"owner": TEXT, "host": TEXT, "end_reason": END_REASON}
    | {"tracks": a_list(a_record(RECORDED_TRACK), 0, 64), "gaps": a_list(a_record(GAP), 0, 1024)}
    | each(INTEGER, "start_ms", "end_ms", "count", "attested_count")
    | each(DIGEST, "policy_sha256", "root", "recorder")
)
MAX_POLICY = 16 * KIB
TRUST_POLICY_TYPE = "application/vnd.lucid.trust-policy+json"
DOCUMENT = {
    "frame_rate": integer(1, 120),
    "max_bytes": integer(1),
    "quality": spelled("low|medium|high|ultra"),
    "retention_days": integer(1, 365),
}
TRUST_POLICY = {
    "v": VERSION,
    "name": spelled(r"[^\x00-\x1f\x7f]{1,100}"),
    "idle_seconds": integer(60, 86_400),
    "session_seconds": integer(60, 604_800),
    "on_recorder_loss": spelled("end|gap"),
    "owner_key": DIGEST,
}
CHANNELS = {
    "input": some_on("mouse", "keyboard"),
    "clipboard": some_on("to_desktop", "from_desktop"),
}
"""What a trust policy may let in or out. A group, or a channel in it, that is off is absent."""
RECORDED = {"record": some_on("input", "clipboard")}
"""What it may have recorded beside the picture; absent where that is nothing."""
ROLE = spelled("recorder|closer")
REGISTRATION = {"v": VERSION, "host": TEXT, "public_key": DIGEST, "role": ROLE, "time_ms": INTEGER}


class Envelope(NamedTuple):
    """A statement, and who is said to have signed it."""

    type: str
    payload: bytes
    key_id: str
    signature: bytes

    def signed_by(self, public_key: bytes) -> bool:
        """Whether the envelope names this key and is signed by it, in DSSE's pre-authentication encoding."""
        kind = self.type.encode()
        message = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(self.payload), self.payload)
        named = sha256(public_key).hex() == self.key_id
        return named and signature_holds(public_key, self.signature, message)


class Entry(NamedTuple):
    """A log entry, which is one envelope, and its proof."""

    position: int
    hash: bytes
    proof: list[str]
    said: Envelope


def open_envelope(record: Record) -> Envelope:
    """What is in an envelope; nothing is verified by that."""
    signature = record["signatures"][0]
    payload, sig = base64.b64decode(record["payload"]), base64.b64decode(signature["sig"])
    return Envelope(record["payloadType"], payload, signature["keyid"], sig)


def read_entry(line: bytes, where: str) -> Entry:
    """One line of entries.jsonl. Canonical JSON nests: the envelope in it is the log entry byte for byte."""
    record = read_record(line, LOG_LINE, where, MAX_ENTRY_LINE)
    envelope = record["envelope"]
    entry_hash = sha256(b"\x00", canonical(envelope))
    return Entry(record["index"], entry_hash, record["proof"], open_envelope(envelope))


def signature_holds(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the Ed25519 signature verifies (RFC 8032)."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def read_manifest(payload: bytes) -> Record:
    """The manifest, with what its fields say about each other."""
    manifest = read_record(payload, MANIFEST, "the manifest", MAX_ENVELOPE)
    gaps, count, attested = manifest["gaps"], manifest["count"], manifest["attested_count"]
    counts = {track["track"]: track["count"] for track in manifest["tracks"]}
    in_order = list(counts) == sorted(counts) and len(counts) == len(manifest["tracks"])
    require(in_order, "the manifest's tracks are not in ascending order")
    require(count == sum(counts.values()), "the manifest's count is not the sum of its tracks' counts")
    require(manifest["start_ms"] <= manifest["end_ms"], "the manifest ends before it starts")
    starts = [gap["start_ms"] for gap in gaps]
    require(starts == sorted(starts), "the manifest's gaps are not in order of time")
    fits = all(gap["start_ms"] <= gap["end_ms"] and gap["track"] in counts for gap in gaps)
    require(fits, "a gap in the manifest ends before it starts, or is of no track in it")
    whole = attested == count or (attested < count and manifest["end_reason"] == "recorder_lost")
    require(whole, "attested_count does not fit count and end_reason")
    return manifest


# --- Block headers (section 7) --------------------------------------------------------------------

HEADER = (
    {"v": VERSION, "chain": NAME, "log_size": integer(1)}
    | each(INTEGER, "height", "time_ms", "transaction_count")
    | each(DIGEST, "previous", "proposer", "transactions_root", "log_root")
)


def read_header(data: bytes, where: str) -> Record:
    """A block header."""
    header = read_record(data, HEADER, where, 2 * KIB)
    first = header["previous"] == "0" * 64
    require(first == (header["height"] == 0), f"{where}: previous does not fit height")
    return header


def block_hash(header: Record) -> str:
    """The hash that names a block."""
    return sha256(b"lucid/block/v1\x00", canonical(header)).hex()


# --- Checkpoints and cosignatures (section 9) -----------------------------------------------------

MAX_NOTE = 64 * KIB
MAX_SIGNATURES = 128
COSIGNATURE = b"\x04"
SIGNATURE_LINE = re.compile(r"— ([^\s+\x00-\x1f\x7f]{1,255}) ([^ ]+)")
CHECKPOINT = re.compile(
    r"([^\s+\x00-\x1f\x7f]{1,255})\n([1-9][0-9]{0,15})\n([A-Za-z0-9+/]{43}=)\nblock [0-9a-f]{64}\n"
)


class Cosigner(NamedTuple):
    """A key that may cosign checkpoints, known from a trust file."""

    name: str
    key_id: bytes
    public_key: bytes


class Note(NamedTuple):
    """A signed note: its text, and what follows each name and key id, unchecked."""

    text: str
    signatures: dict[tuple[str, bytes], bytes]


def checkpoint_text(header: Record) -> str:
    """The one rendering of a block header as a checkpoint."""
    root = base64.b64encode(bytes.fromhex(header["log_root"])).decode()
    return f"{header['chain']}\n{header['log_size']}\n{root}\nblock {block_hash(header)}\n"


def read_note(data: bytes, where: str) -> Note:
    """A signed note; its signature lines come after the last empty line."""
    require(len(data) <= MAX_NOTE, f"{where} is longer than {MAX_NOTE} bytes")
    try:
        body, _, tail = data.decode().rpartition("\n\n")
    except ValueError:
        refuse(f"{where} is not UTF-8")
    require(bool(body) and tail.endswith("\n"), f"{where} is not a text, an empty line and signature lines")
    signatures: dict[tuple[str, bytes], bytes] = {}
    for line in tail[:-1].split("\n"):
        parts = SIGNATURE_LINE.fullmatch(line)
        if parts is None or not is_base64(parts[2]):
            refuse(f"{where} has a malformed signature line")
        value = base64.b64decode(parts[2])
        require(len(value) > 4, f"{where} has a signature line without a signature")
        require((parts[1], value[:4]) not in signatures, f"{where} has two signatures by the same key")
        signatures[parts[1], value[:4]] = value[4:]
    require(len(signatures) <= MAX_SIGNATURES, f"{where} has more than {MAX_SIGNATURES} signatures")
    return Note(body + "\n", signatures)


def cosigned(note: Note, cosigners: Iterable[Cosigner], where: str) -> dict[str, int]:
    """Which of the cosigners signed the note, and when, in seconds. A bad signature spoils the note."""
    times = {}
    for cosigner in cosigners:
        value = note.signatures.get((cosigner.name, cosigner.key_id))
        if value is not None:
            time = int.from_bytes(value[:8])
            message = f"cosignature/v1\ntime {time}\n{note.text}".encode()
            holds = signature_holds(cosigner.public_key, value[8:], message)
            require(holds, f"{where}: the cosignature of {cosigner.name!a} does not verify")
            times[cosigner.name] = time
    return times


# --- The archive (section 10) ---------------------------------------------------------------------

BLOCK = 512
INDEX_FILES = {
    "lucid-bundle.json": KIB,
    "genesis.json": 2 * KIB,
    "header.json": 2 * KIB,
    "checkpoint": MAX_NOTE,
    "consistency.json": 8 * KIB,
    "policy.json": MAX_POLICY,
    "entries.jsonl": 64 * MIB,
    "leaves.jsonl": 64 * MIB,
}
"""The members with which each bundle begins, in their order, and how long each may be."""
MAX_KEYS = 16 * MIB
KEYS = {"keys": a_list(a_record(CHUNK_KEY), 1)}
BUNDLE = {"format": spelled("lucid-bundle/v1"), "session": SESSION}
CONSISTENCY = {"proof": PROOF}
CHUNK_NAME = re.compile(r"chunks/(0|[1-9][0-9]{0,9})/(0|[1-9][0-9]{0,15})")


def tar_header(name: str, size: int, checksum: bytes = b" " * 8) -> bytes:
    """The only ustar header that a member of this name and size may have."""
    number = b"0000000\0"
    start = name.encode().ljust(100, b"\0") + b"0000644\0" + number * 2 + b"%011o\0%011o\0" % (size, 0)
    return start + checksum + b"0" + bytes(100) + b"ustar\x0000" + bytes(64) + number * 2 + bytes(167)


def read_exactly(file: BinaryIO, size: int) -> bytes:
    """That many bytes, or a refusal."""
    data = file.read(size)
    require(len(data) == size, "the file is cut off")
    return data


def read_members(file: BinaryIO) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    """Name and size of each member, and what reads it once the size is accepted; to the archive's end."""
    while (header := read_exactly(file, BLOCK)) != bytes(BLOCK):
        require(re.fullmatch(rb"[0-7]{11}", header[124:135]) is not None, "a size is not eleven octal digits")
        name, size = header[:100].rstrip(b"\0").decode("ascii", "replace"), int(header[124:135], 8)
        expected = tar_header(name, size, b"%06o\0 " % sum(tar_header(name, size)))
        require(header == expected, f"the archive header of {name!a} is not in its one form")
        yield name, size, partial(read_exactly, file, size)
        padding = -size % BLOCK
        require(read_exactly(file, padding) == bytes(padding), f"the padding of {name!a} is not zeros")
    require(read_exactly(file, BLOCK) == bytes(BLOCK), "the archive ends with one block of zeros, not two")
    require(not file.read(1), "bytes follow the end of the archive")


# --- The trust file (section 11) ------------------------------------------------------------------

MAX_TRUST = 256 * KIB
OPTIONAL: Record = {"witnesses": [], "witness_quorum": 0}
VKEYS = a_list(ANY_TEXT, 0, 128)
TRUST = (
    {"format": spelled("lucid-trust/v1"), "origin": NAME, "genesis_hash": DIGEST}
    | each(VKEYS, "validators", "witnesses")
    | each(INTEGER, "quorum", "witness_quorum")
)


class Trust(NamedTuple):
    """Whom the auditor believes."""

    origin: str
    genesis_hash: str
    validators: list[Cosigner]
    quorum: int
    witnesses: list[Cosigner]
    witness_quorum: int

    @property
    def everybody(self) -> list[Cosigner]:
        """Validators and witnesses."""
        return self.validators + self.witnesses


def read_vkey(vkey: str) -> Cosigner:
    """A key in C2SP's spelling: NAME+KEY ID+BASE64(0x04 and the Ed25519 key)."""
    name, digits, encoded = [*vkey.split("+", 2), "", ""][:3]
    require(NAME(name), f"the vkey {vkey!a} has no proper name")
    require(is_base64(encoded), f"the vkey {vkey!a} is not base64 at its end")
    key = base64.b64decode(encoded)
    require(len(key) == 33 and key.startswith(COSIGNATURE), f"the vkey {vkey!a} is not of type 4, Ed25519")
    key_id = sha256(name.encode(), b"\n", key)[:4]
    require(digits == key_id.hex(), f"the vkey {vkey!a} has another key id than its name and key")
    return Cosigner(name, key_id, key[1:])


def read_trust(data: bytes) -> Trust:
    """The trust file; raises Refusal, which here means that the file is unusable."""
    require(len(data) <= MAX_TRUST, f"longer than {MAX_TRUST} bytes")
    record = OPTIONAL | parse_json(data, "its content")[0]
    fault = misfit(record, TRUST)
    require(fault is None, f"{fault}")
    validators, witnesses = ([read_vkey(key) for key in record[part]] for part in ("validators", "witnesses"))
    origin, genesis_hash = record["origin"], record["genesis_hash"]
    trust = Trust(origin, genesis_hash, validators, record["quorum"], witnesses, record["witness_quorum"])
    names, keys = {one.name for one in trust.everybody}, {one.public_key for one in trust.everybody}
    require(len(names) == len(keys) == len(trust.everybody), "a name or a public key occurs twice")
    least, most = 2 * len(validators) // 3 + 1, len(validators)
    require(1 <= least <= trust.quorum <= most, f"quorum must be {least} to {most}")
    require(trust.witness_quorum <= len(witnesses), "witness_quorum exceeds the number of witnesses")
    return trust


# --- The steps (section 12) -----------------------------------------------------------------------

Keys = dict[str, tuple[bytes, str]]
"""By role: public key and host of a registered key."""


class Bundle(NamedTuple):
    """What step 1 takes out of the archive."""

    session: str
    consistency: list[str]
    entries: list[Entry]
    leaves: list[bytes]
    keys: list[Record]
    """Disclosed chunk keys; none in most bundles."""
    chunks: list[Chunk]
    closed: str
    """Why the first chunk that its key does not open stays closed; empty if there is none."""
    rest: dict[str, bytes]
    """Index files that later steps read: genesis.json, header.json, checkpoint, policy.json."""


def read_bundle(file: BinaryIO) -> Bundle:
    """1: the file is complete and in its one form."""
    members, content = read_members(file), {}
    for expected, limit in INDEX_FILES.items():
        name, size, read = next(members, ("", 0, bytes))
        require(name == expected, f"{name!a} stands where {expected} should")
        require(size <= limit, f"{name} is longer than {limit} bytes")
        content[name] = read()
    lines = split_lines(content.pop("leaves.jsonl"), "leaves.jsonl", MAX_LEAF)
    leaves = (read_leaf(line, f"leaf {number}") for number, line in enumerate(lines, 1))
    keys: list[Record] = []
    chunks: list[Chunk] = []
    closed = ""
    for name, size, read in members:
        if name == "keys.json" and not keys and not chunks:
            require(size <= MAX_KEYS, f"{name} is longer than {MAX_KEYS} bytes")
            keys = read_record(read(), KEYS, name, MAX_KEYS)["keys"]
            continue
        require(CHUNK_NAME.fullmatch(name) is not None, f"{name!a} has no place in a bundle")
        require(size <= MAX_SEALED, f"{name} is longer than a sealed chunk can be")
        require(len(chunks) < len(lines), f"there are more chunks than the {len(lines)} leaves")
        require(not keys or len(chunks) < len(keys), f"there are more chunks than the {len(keys)} keys")
        sealed = read()
        if keys and not closed:
            closed = why_closed(sealed, keys[len(chunks)], leaves)
        chunks.append((name, size, sha256(sealed).hex()))
    about = read_record(content.pop("lucid-bundle.json"), BUNDLE, "lucid-bundle.json", KIB)
    proof = read_record(content.pop("consistency.json"), CONSISTENCY, "consistency.json", 8 * KIB)["proof"]
    rows = split_lines(content.pop("entries.jsonl"), "entries.jsonl", MAX_ENTRY_LINE)
    entries = [read_entry(row, f"line {number} of entries.jsonl") for number, row in enumerate(rows, 1)]
    return Bundle(about["session"], proof, entries, lines, keys, chunks, closed, content)


def why_closed(sealed: bytes, key: Record, leaves: Iterator[Record]) -> str:
    """Why a key does not open its chunk; empty if it does. Takes from the leaves up to the one it names.

    The file is read once, so chunks are opened before the leaves are checked: step 9 tells what came of it.
    """
    name = chunk_name(key)
    try:
        leaf = next((leaf for leaf in leaves if chunk_name(leaf) == name), None)
        if leaf is None:
            return f"no leaf in order for the key of {name}"
        open_chunk(sealed, bytes.fromhex(key["key"]), leaf)
    except Refusal as reason:
        return f"{name}: {reason}"
    return ""


def read_leaves(lines: Sequence[bytes], session: str) -> list[Leaf]:
    """2: the leaves are of this session and one unbroken sequence for each track."""
    leaves = []
    expected: dict[int, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for number, line in enumerate(lines, 1):
        leaf = read_leaf(line, f"leaf {number}")
        track, index, start = leaf["track"], leaf["index"], leaf["start_ms"]
        require(leaf["session"] == session, f"leaf {number} is of another session")
        require(index == expected[track][0], f"leaf {number} has index {index}, not {expected[track][0]}")
        require(start >= expected[track][1], f"leaf {number} starts before its predecessor in the track")
        expected[track] = index + 1, start
        chunk = (chunk_name(leaf), leaf["sealed_size"], leaf["sealed_sha256"])
        leaves.append(Leaf(sha256(b"\x00", line), track, start, leaf["end_ms"], chunk))
    return leaves


def find_signers(entries: Sequence[Entry]) -> tuple[Record, Keys]:
    """3: those who signed were registered on the log before the session began. Returns the manifest, too."""
    positions, kinds = [entry.position for entry in entries], [entry.said.type for entry in entries]
    require(positions == sorted(set(positions)), "the entries are not in ascending order of index")
    require(ANCHOR_TYPE in kinds, "there is no anchor")
    before = kinds.index(ANCHOR_TYPE)
    order = [REGISTRATION_TYPE] * before + [ANCHOR_TYPE] * (len(kinds) - before - 1) + [MANIFEST_TYPE]
    require(kinds == order, "the entries are not registrations, anchors and one manifest, in this order")
    manifest = read_manifest(entries[-1].said.payload)
    signers = {"recorder": manifest["recorder"]}
    if manifest["end_reason"] == "recorder_lost":
        signers["closer"] = entries[-1].said.key_id
    require(before == len(signers), f"{before} registrations for {len(signers)} signing keys")
    require(len(set(signers.values())) == before, "one key signed in two roles")
    keys: Keys = {}
    for entry in entries[:before]:
        record = read_record(entry.said.payload, REGISTRATION, "a registration", MAX_ENVELOPE)
        role, public_key = record["role"], bytes.fromhex(record["public_key"])
        require(entry.said.signed_by(public_key), "a registration is not signed by the key that it registers")
        require(
            signers.get(role) == entry.said.key_id, f"the key registered as {role} is not the one that signed"
        )
        keys[role] = public_key, record["host"]
    require(len(keys) == before, "a key is registered twice")
    return manifest, keys


def check_manifest(manifest: Record, entry: Entry, session: str, keys: Keys) -> None:
    """4: the manifest is signed by whom it must be signed."""
    signer = "closer" if "closer" in keys else "recorder"
    require(entry.said.signed_by(keys[signer][0]), f"the manifest is not signed by the {signer}")
    require(manifest["session"] == session, "the manifest is of another session")
    require(manifest["host"] == keys["recorder"][1], "the manifest's host is not the recorder's")


def check_completeness(manifest: Record, leaves: Sequence[Leaf]) -> None:
    """5: the leaves are those of the manifest, and every hole in time is declared."""
    count = len(leaves)
    require(count == manifest["count"], f"{count} leaves, but the manifest counts {manifest['count']}")
    tree, gaps, ends = Frontier(), joined_gaps(manifest["gaps"]), dict[int, int]()
    missing = {track["track"]: track["count"] for track in manifest["tracks"]}
    for number, leaf in enumerate(leaves, 1):
        require(leaf.track in missing, f"leaf {number} is of a track that the manifest does not name")
        inside = manifest["start_ms"] <= leaf.start_ms and leaf.end_ms <= manifest["end_ms"]
        require(inside, f"leaf {number} lies outside the manifest's times")
        covered = ends.get(leaf.track, leaf.start_ms)
        hole = longest_hole(covered, leaf.start_ms, gaps[leaf.track])
        require(hole <= 2000, f"a hole of {hole} ms before leaf {number} is not declared as a gap")
        ends[leaf.track] = max(covered, leaf.end_ms)
        missing[leaf.track] -= 1
        tree.append(leaf.hash)
    require(not any(missing.values()), "the tracks do not have the manifest's counts")
    require(tree.root() == manifest["root"], "the leaves do not have the manifest's root")


def joined_gaps(declared: Iterable[Record]) -> dict[int, list[tuple[int, int]]]:
    """For each track its gaps as separate, ascending intervals: those that meet are joined."""
    gaps: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for gap in declared:
        known, start, end = gaps[gap["track"]], gap["start_ms"], gap["end_ms"]
        if known and start <= known[-1][1]:
            start, known_end = known.pop()
            end = max(end, known_end)
        known.append((start, end))
    return gaps


def longest_hole(covered: int, end: int, gaps: Sequence[tuple[int, int]]) -> int:
    """The longest stretch from `covered` to `end`, in milliseconds, that touches none of the gaps."""
    longest = 0
    for number in range(bisect.bisect_left(gaps, covered, key=lambda gap: gap[1]), len(gaps)):
        if gaps[number][0] >= end:
            break
        longest, covered = max(longest, gaps[number][0] - covered), gaps[number][1]
    return max(longest, end - covered)


def check_anchors(bundle: Bundle, manifest: Record, leaves: Sequence[Leaf], keys: Keys) -> int:
    """6: what the recorder anchored is a beginning of what is here. Returns the last count."""
    tree, last = Frontier(), 0
    stated = [entry for entry in bundle.entries if entry.said.type == ANCHOR_TYPE]
    for number, entry in enumerate(stated, 1):
        where = f"anchor {number}"
        require(entry.said.signed_by(keys["recorder"][0]), f"{where} is not signed by the recorder")
        anchor = read_record(entry.said.payload, ANCHOR, where, MAX_ENVELOPE)
        count = anchor["count"]
        require(anchor["session"] == bundle.session, f"{where} is of another session")
        require(anchor["recorder"] == entry.said.key_id, f"{where} names another recorder")
        require(number > 1 or count == 0, f"{where} does not open the session: its count is {count}")
        require(last <= count <= len(leaves), f"{where} counts {count} leaves, the one before it {last}")
        for leaf in leaves[last:count]:
            tree.append(leaf.hash)
        require(tree.root() == anchor["root"], f"{where} has another root than the first {count} leaves")
        last = count
    vouched = "closer" not in keys or manifest["attested_count"] == last
    require(vouched, f"attested_count is not {last}, the last anchor's count")
    return last


def check_checkpoint(bundle: Bundle) -> tuple[Record, Note]:
    """7: the checkpoint renders the header."""
    header = read_header(bundle.rest["header.json"], "header.json")
    note = read_note(bundle.rest["checkpoint"], "the checkpoint")
    require(note.text == checkpoint_text(header), "the checkpoint is not that of header.json")
    return header, note


def check_chunks(bundle: Bundle, leaves: Sequence[Leaf]) -> str:
    """9: the sealed chunks are those of the leaves, and each disclosed key opens its own."""
    named = [chunk_name(key) for key in bundle.keys]
    disclosed = set(named)
    chunks = [leaf.chunk for leaf in leaves if not named or leaf.chunk[0] in disclosed]
    in_order = not named or named == [name for name, _, _ in chunks]
    require(in_order, "keys.json does not name chunks of the leaves, in their order and each once")
    for found, expected in zip(bundle.chunks, chunks, strict=False):
        require(found[0] == expected[0], f"{found[0]} stands where {expected[0]} should")
        require(found == expected, f"{found[0]} is not the chunk that its leaf describes")
    require(len(bundle.chunks) == len(chunks), f"there are fewer chunks than {'keys' if named else 'leaves'}")
    require(not bundle.closed, bundle.closed)
    detail = f"{len(chunks)} chunks" + (", opened with their keys" if named else "")
    left_out = "; zstandard is not installed: compressed ones were opened but not decompressed"
    return detail + (left_out if named and not CAN_DECOMPRESS else "")


def check_policy(bundle: Bundle, manifest: Record) -> str:
    """10: the policy is the one that the manifest names; what it trusts a client with, its owner signed."""
    data = bundle.rest["policy.json"]
    require(sha256(data).hex() == manifest["policy_sha256"], "policy.json does not have the manifest's hash")
    document = read_record(data, DOCUMENT, "policy.json", MAX_POLICY, {"trust": ANY_TEXT})
    if "trust" not in document:
        return "no trust policy"
    where = "the trust policy"
    envelope = open_envelope(read_record(document["trust"].encode(), ENVELOPE, where, MAX_ENVELOPE))
    require(envelope.type == TRUST_POLICY_TYPE, f"{where} is signed as {envelope.type!a}")
    policy = read_record(envelope.payload, TRUST_POLICY, where, MAX_ENVELOPE, CHANNELS | RECORDED)
    signed = envelope.signed_by(bytes.fromhex(policy["owner_key"]))
    require(signed, f"{where} is not signed by the key that it names")
    on = [f"{group}.{channel}" for group in sorted(CHANNELS) for channel in sorted(policy.get(group, ()))]
    allows = f"{policy['name']!a} allows {', '.join(on) or 'nothing'}"
    beside = ", ".join(sorted(policy.get("record", ()))) or "nothing"
    return f"{allows}; recorded beside the picture: {beside}; signed by key {envelope.key_id}"


def check_genesis(bundle: Bundle, header: Record, trust: Trust | None) -> str:
    """11: the log is the trusted one, and goes back to its first block."""
    first = read_header(bundle.rest["genesis.json"], "genesis.json")
    found = block_hash(first)
    begins = first["height"] == 0 and first["chain"] == header["chain"]
    require(begins, "genesis.json is not block 0 of the chain in header.json")
    if trust is not None:
        require(first["chain"] == trust.origin, f"the log is {first['chain']!a}, not the trusted one")
        require(found == trust.genesis_hash, f"block 0 is {found}, not the trusted one")
    require(extends(first, header, bundle.consistency), "the log does not extend block 0")
    return f"the log extends block 0, {found}"


def count_cosigners(times: Mapping[str, int], cosigners: Sequence[Cosigner], needed: int) -> str:
    """12 and 13: enough of the validators, or of the witnesses, cosigned the checkpoint."""
    count = sum(cosigner.name in times for cosigner in cosigners)
    require(count >= needed, f"{count} of {len(cosigners)} cosigned, {needed} needed")
    return f"{count} of {len(cosigners)} cosigned, {needed} needed"


def compare(ours: Note, other: bytes, trust: Trust | None) -> str:
    """14: the checkpoint agrees with the one that the auditor has."""
    note = read_note(other, "the other checkpoint")
    parts = CHECKPOINT.fullmatch(note.text)
    if parts is None:
        refuse("the other checkpoint's text is malformed")
    known = trust is None or cosigned(note, trust.everybody, "the other checkpoint")
    require(bool(known), "nobody in the trust file cosigned the other checkpoint")
    origin, size, root, _, _ = ours.text.split("\n")
    require(parts[1] == origin, f"the other checkpoint is of the log {parts[1]!a}")
    require(parts[2] == size, f"the other checkpoint is of {parts[2]} entries: no proof compares the two")
    require(parts[3] == root, "split view: the other checkpoint has another root for the same size")
    return "the other checkpoint has the same size and root"


def check_freshness(times: Mapping[str, int], trust: Trust | None, newer_than_ms: int) -> str:
    """15: a quorum of validators cosigned since the time asked for."""
    if trust is None:
        refuse("without a trust file there is nobody whose time could be believed")
    latest = sorted((times[one.name] for one in trust.validators if one.name in times), reverse=True)
    reached = latest[trust.quorum - 1]
    require(reached * 1000 >= newer_than_ms, f"a quorum of validators last cosigned at {reached} s")
    return f"a quorum of validators cosigned at {reached} s since the epoch"


MEANINGS = {
    "archive": "The file is damaged or was edited. It shows nothing; get it again.",
    "leaves": "Chunks were removed, added, renumbered or moved in the list.",
    "signers": "The signatures are by keys that the log did not know when the session began.",
    "manifest": "Whoever made the closing statement is not who recorded the session.",
    "completeness": "These are not all the chunks, or not the chunks, that the closing statement is about.",
    "anchors": "The recording was changed after its recorder had already committed to it.",
    "checkpoint": "The cosigners confirmed some other state of the log.",
    "inclusion": "Part of this evidence was never put on the log.",
    "chunks": "The recording in this file is not the one that was anchored.",
    "policy": "These are not the rules of this session, or their owner did not sign them.",
    "genesis": "This is not the log that you trust, or its past was rewritten.",
    "validators": "The validators never agreed on this state of the log.",
    "witnesses": "No independent party has seen this state of the log; perhaps only you were shown it.",
    "against": "You and somebody else were shown different logs, or the two could not be compared.",
    "freshness": "Newer events that concern this session may have been withheld.",
}
"""The steps in their order, and what the failure of each means."""


def take_steps(
    file: BinaryIO, trust: Trust | None, against: bytes | None, newer_than_ms: int | None
) -> Iterator[str | None]:
    """Takes one step after the other; yields what each has found, or None if it is skipped."""
    bundle = read_bundle(file)
    yield f"{len(bundle.entries)} log entries, {len(bundle.chunks)} chunks, complete to the last byte"
    leaves = read_leaves(bundle.leaves, bundle.session)
    yield f"{len(leaves)} leaves of session {bundle.session}"
    manifest, keys = find_signers(bundle.entries)
    yield f"recorder {manifest['recorder']} on {keys['recorder'][1]!a}"
    check_manifest(manifest, bundle.entries[-1], bundle.session, keys)
    yield f"end reason {manifest['end_reason']}"
    check_completeness(manifest, leaves)
    yield f"{len(leaves)} leaves, {len(manifest['gaps'])} declared gaps"
    yield f"the last one over {check_anchors(bundle, manifest, leaves, keys)} leaves"
    header, note = check_checkpoint(bundle)
    yield f"block {header['height']}, {header['log_size']} log entries"
    for entry in bundle.entries:
        proven = included(entry, header["log_size"], header["log_root"])
        require(proven, f"the proof of log entry {entry.position} does not lead to the log's root")
    yield f"{len(bundle.entries)} entries are on the log"
    yield check_chunks(bundle, leaves) if bundle.chunks or bundle.keys else None
    yield check_policy(bundle, manifest)
    yield check_genesis(bundle, header, trust)
    times = cosigned(note, trust.validators, "the checkpoint") if trust else {}
    yield count_cosigners(times, trust.validators, trust.quorum) if trust else None
    times |= cosigned(note, trust.witnesses, "the checkpoint") if trust else {}
    yield count_cosigners(times, trust.witnesses, trust.witness_quorum) if trust else None
    yield compare(note, against, trust) if against is not None else None
    yield check_freshness(times, trust, newer_than_ms) if newer_than_ms is not None else None


class Finding(NamedTuple):
    """How one step ended: `ok`, `failed` or `skipped`."""

    number: int
    name: str
    status: str
    detail: str
    meaning: str | None = None


def verify(
    file: BinaryIO, trust: Trust | None, against: bytes | None = None, newer_than_ms: int | None = None
) -> tuple[str, list[Finding]]:
    """The outcome, and what each step found up to the first that failed. Never raises."""
    findings: list[Finding] = []
    steps = take_steps(file, trust, against, newer_than_ms)
    for number, (name, meaning) in enumerate(MEANINGS.items(), 1):
        try:
            detail = next(steps)
        except Exception as error:  # noqa: BLE001 - fail closed: what this verifier cannot follow, it refuses
            known = isinstance(error, Refusal)
            why = str(error) if known else f"the verifier could not go on: {error!r:.200}"
            findings.append(Finding(number, name, "failed", why, meaning))
            return "refused", findings
        findings.append(Finding(number, name, "ok" if detail else "skipped", detail or "not asked for"))
    return "consistent_not_authenticated" if trust is None else "verified", findings


# --- The command ----------------------------------------------------------------------------------

EXIT_CODES = {"verified": 0, "refused": 1, "consistent_not_authenticated": 3}


def moment(text: str) -> int:
    """Milliseconds since the epoch of an RFC 3339 time or a date; UTC unless it names an offset."""
    found = datetime.fromisoformat(text)
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return (found - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)


def beginning(path: Path, limit: int) -> bytes:
    """The file, or one byte more than the limit, which is enough to refuse it."""
    with path.open("rb") as file:
        return file.read(limit + 1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser("lucid_verify.py", description="Verify an evidence bundle, offline.")
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("--trust", type=Path, metavar="FILE", help="whom to believe, from another source")
    parser.add_argument("--against", type=Path, metavar="CHECKPOINT", help="a checkpoint from elsewhere")
    parser.add_argument("--newer-than", type=moment, metavar="TIME", help="refuse what was cosigned earlier")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args(arguments)
    try:
        trust = read_trust(beginning(options.trust, MAX_TRUST)) if options.trust else None
        against = beginning(options.against, MAX_NOTE) if options.against else None
        with options.bundle.open("rb") as file:
            outcome, findings = verify(file, trust, against, options.newer_than)
    except OSError as error:
        parser.error(str(error))
    except Refusal as reason:
        parser.error(f"{options.trust} is no trust file to rely on: {reason}")
    show(outcome, findings, as_json=options.json)
    return EXIT_CODES[outcome]


def show(outcome: str, findings: Sequence[Finding], *, as_json: bool) -> None:
    """Prints the result. What comes from the bundle is in ASCII, so that no terminal can be fooled."""
    report = [f"{step.number:>2} {step.name:<12} {step.status:<7} {step.detail}" for step in findings]
    if findings[-1].meaning:
        report.append(f"   {findings[-1].meaning}")
    text = "\n".join([*report, "", outcome.replace("_", " ").upper()])
    result = {"outcome": outcome, "steps": [step._asdict() for step in findings]}
    sys.stdout.write((json.dumps(result, indent=2) if as_json else text) + "\n")


if __name__ == "__main__":
    sys.exit(main())
