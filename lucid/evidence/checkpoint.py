"""Checkpoints: a block header rendered as a C2SP checkpoint and cosigned by validators and witnesses.

The formats are C2SP's `signed-note`, `tlog-checkpoint` and `tlog-cosignature` (Ed25519, `cosignature/v1`).
There is no signature of "the log" itself: its validators own it together and each cosigns. One extension line
names the block, so that what a validator cosigns is the whole header and not only the log's size and root.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from lucid.evidence.block import Header, block_hash
from lucid.evidence.errors import FormatError, SignatureError
from lucid.evidence.fields import MAX_INTEGER

NOTE_LIMIT = 64 * 1024
"""Bytes of a checkpoint, at most."""
MAX_SIGNATURES = 128

_COSIGNATURE_TYPE = b"\x04"
_NAME = re.compile(r"[^\s+\x00-\x1f\x7f]{1,255}")
_VKEY = re.compile(r"([^\s+\x00-\x1f\x7f]{1,255})\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})")
_SIGNATURE_LINE = re.compile(r"— ([^\s+\x00-\x1f\x7f]{1,255}) ([A-Za-z0-9+/]+={0,2})")
_BLOCK_LINE = re.compile(r"block ([0-9a-f]{64})")
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,15}")


@dataclass(frozen=True, slots=True)
class Cosigner:
    """A key that cosigns checkpoints, and the name it does so under."""

    name: str
    public_key: bytes

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise FormatError("name", f"{self.name!r} is not a key name: 1 to 255 characters, no space, no +")
        if len(self.public_key) != 32:
            raise FormatError("public_key", f"{len(self.public_key)} bytes; an Ed25519 public key has 32")

    @property
    def key_id(self) -> bytes:
        """The first 4 bytes of SHA-256(name || LF || 0x04 || public key)."""
        material = self.name.encode() + b"\n" + _COSIGNATURE_TYPE + self.public_key
        return hashlib.sha256(material).digest()[:4]

    @property
    def vkey(self) -> str:
        """The key in C2SP's text form: `name+key id in hex+base64(0x04 || public key)`."""
        key = base64.b64encode(_COSIGNATURE_TYPE + self.public_key).decode()
        return f"{self.name}+{self.key_id.hex()}+{key}"


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line of a note, unverified."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A checkpoint with its signatures, none of them verified."""

    body: str
    """The text that is signed, with its final newline."""
    signatures: tuple[NoteSignature, ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the body of a checkpoint says."""

    origin: str
    size: int
    root: bytes
    block: str
    """Hash of the block whose header the checkpoint renders."""


@dataclass(frozen=True, slots=True)
class Cosignatures:
    """Which of the known keys signed a note."""

    times: dict[str, int]
    """For each key that signed, its name and when, in seconds since the Unix epoch."""
    unknown: tuple[str, ...]
    """Names on signature lines by keys that are not among the known ones; they count for nothing."""


def parse_vkey(text: str) -> Cosigner:
    """Return the cosigner that a vkey describes; raise FormatError if it is not an Ed25519 cosigner's."""
    match = _VKEY.fullmatch(text)
    if not match:
        raise FormatError("vkey", f"{text!r} is not name+key id+base64 key")
    key = _decode_base64("vkey", match[3])
    if key[:1] != _COSIGNATURE_TYPE:
        raise FormatError("vkey", f"{text!r} is not a cosigner's key (its type byte is not 0x04)")
    cosigner = Cosigner(match[1], key[1:])
    if cosigner.key_id.hex() != match[2]:
        raise FormatError("vkey", f"{text!r} has key id {match[2]}, but its key's is {cosigner.key_id.hex()}")
    return cosigner


def body(header: Header) -> str:
    """Return the checkpoint's text: origin, log size, base64 root and `block HASH`, a line each."""
    root = base64.b64encode(bytes.fromhex(header.log_root)).decode()
    return f"{header.chain}\n{header.log_size}\n{root}\nblock {block_hash(header)}\n"


def parse_body(text: str) -> Checkpoint:
    """Return what the text of one of Lucid's checkpoints says; raise FormatError for anything else."""
    lines = text.split("\n")
    if len(lines) != 5 or lines[4]:
        raise FormatError("checkpoint", "the text is not the four lines origin, size, root, block")
    origin, size, root, block_line = lines[:4]
    if not _NAME.fullmatch(origin):
        raise FormatError("checkpoint", f"{origin!r} is not an origin: 1 to 255 characters, no space, no +")
    if not _DECIMAL.fullmatch(size) or int(size) > MAX_INTEGER:
        raise FormatError("checkpoint", f"{size!r} is not a log size")
    root_hash = _decode_base64("checkpoint", root)
    if len(root_hash) != 32:
        raise FormatError("checkpoint", f"the root has {len(root_hash)} bytes, not 32")
    block_match = _BLOCK_LINE.fullmatch(block_line)
    if not block_match:
        raise FormatError("checkpoint", f"{block_line[:80]!r} does not name a block")
    return Checkpoint(origin, int(size), root_hash, block_match[1])


def cosign(text: str, name: str, key: Ed25519PrivateKey, time_s: int) -> str:
    """Return the signature line, with its newline, by which `name` cosigns the checkpoint `text`.

    `time_s` is in seconds since the Unix epoch.
    """
    cosigner = Cosigner(name, key.public_key().public_bytes_raw())
    signature = key.sign(cosigned_message(text, time_s))
    blob = cosigner.key_id + time_s.to_bytes(8, "big") + signature
    return f"— {name} {base64.b64encode(blob).decode()}\n"


def cosigned_message(text: str, time_s: int) -> bytes:
    """Return the bytes that a cosignature covers."""
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


def write_note(text: str, lines: Iterable[str]) -> bytes:
    """Return the note made of a checkpoint's text and its signature lines."""
    return (text + "\n" + "".join(lines)).encode()


def parse_note(data: bytes) -> Note:
    """Return the note in `data`; raise FormatError unless it is a well-formed signed note.

    The text ends at the last empty line. At most 128 signatures, none of them twice by the same key.
    """
    if len(data) > NOTE_LIMIT:
        raise FormatError("note", f"{len(data)} bytes; at most {NOTE_LIMIT} are allowed")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise FormatError("note", "not UTF-8") from error
    if any(character < " " and character != "\n" for character in text):
        raise FormatError("note", "it contains a control character")
    signed, separator, tail = text.rpartition("\n\n")
    if not separator or not tail.endswith("\n"):
        raise FormatError("note", "no empty line followed by signature lines")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise FormatError("note", f"{len(lines)} signatures; at most {MAX_SIGNATURES} are allowed")
    signatures = tuple(_parse_signature(line) for line in lines)
    if len({(item.name, item.key_id) for item in signatures}) < len(signatures):
        raise FormatError("note", "two signatures by the same key")
    return Note(signed + "\n", signatures)


def verify_cosignatures(note: Note, known: Sequence[Cosigner]) -> Cosignatures:
    """Return which of the `known` keys signed the note, each counted once.

    Raise SignatureError if a line that names a known key does not verify: then nothing in the note counts.
    """
    keys = {(cosigner.name, cosigner.key_id): cosigner.public_key for cosigner in known}
    times: dict[str, int] = {}
    unknown = []
    for item in note.signatures:
        public_key = keys.get((item.name, item.key_id))
        if public_key is None:
            unknown.append(item.name)
            continue
        time_s = int.from_bytes(item.signature[:8], "big")
        try:
            Ed25519PublicKey.from_public_bytes(public_key).verify(
                item.signature[8:], cosigned_message(note.body, time_s)
            )
        except (InvalidSignature, ValueError) as error:
            raise SignatureError(f"the cosignature of {item.name} does not cover this checkpoint") from error
        times[item.name] = time_s
    return Cosignatures(times, tuple(unknown))


def _parse_signature(line: str) -> NoteSignature:
    match = _SIGNATURE_LINE.fullmatch(line)
    if not match:
        raise FormatError("note", f"{line[:80]!r} is not a signature line")
    blob = _decode_base64("note", match[2])
    if len(blob) <= 4:
        raise FormatError("note", f"the signature of {match[1]} is too short")
    return NoteSignature(match[1], blob[:4], blob[4:])


def _decode_base64(field: str, text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise FormatError(field, "not base64") from error
    if base64.b64encode(data).decode() != text:
        raise FormatError(field, "not canonical base64")
    return data
