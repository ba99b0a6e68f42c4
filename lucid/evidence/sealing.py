"""Sealing a chunk: compress, encrypt under a key of its own, commit to what was sealed and with which key.

    salt      32 fresh random bytes for every sealing
    secret  = HKDF-Extract(salt, session key)                                    RFC 5869, SHA-256
    key || commitment = HKDF-Expand(secret, "lucid/chunk/v1" || chunk id, 64)    32 bytes each
    sealed  = salt || AES-256-GCM(key, nonce 0, recorder's nonce || payload)     the tag comes last

The nonce is zero because no key ever seals twice: sealing again draws a new salt. The `secret` opens this one
chunk only; whoever is given it recomputes the commitment, so it cannot be a second key made for deception.
"""

import hashlib
import hmac
import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from lucid.evidence.errors import FormatError, SealError
from lucid.evidence.leaf import MAX_PLAIN_SIZE, SEAL_OVERHEAD, ChunkId, Codec, Leaf

Buffer = bytes | bytearray | memoryview

KEY_SIZE = 32
SALT_SIZE = 32
RAW_NONCE_SIZE = 32
TAG_SIZE = 16
ZSTD_LEVEL = 3

_INFO = b"lucid/chunk/v1"
_VERSION = 1
_CODEC_NUMBERS: dict[Codec, int] = {"none": 0, "zstd": 1}
_ZERO_NONCE = bytes(12)
_per_thread = threading.local()


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed chunk and all that its leaf says about it."""

    chunk: ChunkId
    data: memoryview
    """The sealed bytes, read-only."""
    codec: Codec
    plain_size: int
    sealed_sha256: str
    key_commitment: str
    raw_commitment: str

    def leaf(self, *, start_ms: int, end_ms: int) -> Leaf:
        """Return the leaf of this chunk, captured between these times."""
        return Leaf(
            session=self.chunk.session,
            track=self.chunk.track,
            index=self.chunk.index,
            start_ms=start_ms,
            end_ms=end_ms,
            plain_size=self.plain_size,
            sealed_size=len(self.data),
            codec=self.codec,
            sealed_sha256=self.sealed_sha256,
            key_commitment=self.key_commitment,
            raw_commitment=self.raw_commitment,
        )


def new_session_key() -> bytes:
    """Return 32 random bytes: the key from which a session's chunk keys are derived."""
    return secrets.token_bytes(KEY_SIZE)


def raw_commitment(raw_nonce: bytes, raw: Buffer) -> str:
    """SHA-256(raw nonce || raw) in hex: fixes the recording without telling anything about it."""
    digest = hashlib.sha256(raw_nonce)
    digest.update(raw)
    return digest.hexdigest()


def seal(session_key: bytes, chunk: ChunkId, raw: Buffer, raw_nonce: bytes) -> Sealed:
    """Seal `raw`, at most 16 MiB of recording, together with the recorder's 32 random bytes.

    Raise FormatError for a size that is out of bounds. Blocks for tens of milliseconds on large chunks and
    releases the interpreter lock for nearly all of it: call it in a thread.
    """
    return _seal_with_salt(session_key, chunk, raw, raw_nonce, secrets.token_bytes(SALT_SIZE))


def _seal_with_salt(session_key: bytes, chunk: ChunkId, raw: Buffer, raw_nonce: bytes, salt: bytes) -> Sealed:
    """Seal with a given salt, which must never have been used with this session key before."""
    _check_length("session_key", session_key, KEY_SIZE)
    _check_length("raw_nonce", raw_nonce, RAW_NONCE_SIZE)
    if not 1 <= len(raw) <= MAX_PLAIN_SIZE:
        raise FormatError("raw", f"{len(raw)} bytes; a chunk has 1 to {MAX_PLAIN_SIZE}")
    codec, payload = _compress(raw)
    key, commitment = _chunk_keys(_extract(salt, session_key), chunk)

    # One buffer, filled in place: chunks are large, and a copy costs as much as the cipher does.
    sealed = bytearray(SEAL_OVERHEAD + len(payload))
    view = memoryview(sealed)
    view[:SALT_SIZE] = salt
    _encrypt_into(view[SALT_SIZE:], key, (raw_nonce, payload), _additional_data(chunk, codec, len(raw)))
    return Sealed(
        chunk=chunk,
        data=view.toreadonly(),
        codec=codec,
        plain_size=len(raw),
        sealed_sha256=hashlib.sha256(sealed).hexdigest(),
        key_commitment=commitment.hex(),
        raw_commitment=raw_commitment(raw_nonce, raw),
    )


def chunk_key(session_key: bytes, sealed: Buffer) -> bytes:
    """Return the 32-byte secret that opens these sealed bytes and nothing else, to be disclosed."""
    _check_length("session_key", session_key, KEY_SIZE)
    return _extract(bytes(sealed[:SALT_SIZE]), session_key)


def check_chunk_key(secret: bytes, leaf: Leaf) -> None:
    """Raise SealError unless this is the key that sealed the chunk of `leaf`."""
    _check_commitment(_chunk_keys(secret, leaf.chunk)[1], leaf)


def open_sealed(session_key: bytes, leaf: Leaf, sealed: Buffer) -> bytes:
    """Return the recording in `sealed`; raise SealError unless it is exactly what `leaf` says."""
    return open_with_chunk_key(chunk_key(session_key, sealed), leaf, sealed)


def open_with_chunk_key(secret: bytes, leaf: Leaf, sealed: Buffer) -> bytes:
    """As `open_sealed`, with the chunk's own disclosed key. Nothing is returned before all of it holds."""
    _check_length("chunk_key", secret, KEY_SIZE)
    if len(sealed) != leaf.sealed_size:
        raise SealError(f"the chunk has {len(sealed)} bytes, its leaf says {leaf.sealed_size}")
    if hashlib.sha256(sealed).hexdigest() != leaf.sealed_sha256:
        raise SealError("the sealed bytes are not those of the leaf (sealed_sha256 differs)")
    key, commitment = _chunk_keys(secret, leaf.chunk)
    _check_commitment(commitment, leaf)
    extra = _additional_data(leaf.chunk, leaf.codec, leaf.plain_size)
    try:
        plain = memoryview(AESGCM(key).decrypt(_ZERO_NONCE, memoryview(sealed)[SALT_SIZE:], extra))
    except InvalidTag as error:
        raise SealError("the chunk does not decrypt: its bytes or its leaf were altered") from error
    raw = _decompress(plain[RAW_NONCE_SIZE:], leaf)
    if raw_commitment(bytes(plain[:RAW_NONCE_SIZE]), raw) != leaf.raw_commitment:
        raise SealError("the recording is not the one its recorder committed to (raw_commitment differs)")
    return raw


def _compress(raw: Buffer) -> tuple[Codec, Buffer]:
    compressor: zstandard.ZstdCompressor | None = getattr(_per_thread, "compressor", None)
    if compressor is None:
        compressor = _per_thread.compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
    compressed = compressor.compress(raw)
    worthwhile = len(compressed) * 100 <= len(raw) * 97
    return ("zstd", compressed) if worthwhile else ("none", raw)


def _decompress(payload: memoryview, leaf: Leaf) -> bytes:
    if leaf.codec == "none":
        return bytes(payload)
    try:
        # The frame's own size is compared before anything is allocated for it.
        if zstandard.frame_content_size(payload) != leaf.plain_size:
            raise SealError("the compressed chunk states another size than its leaf")
        return zstandard.ZstdDecompressor().decompress(payload, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise SealError(f"the chunk does not decompress: {error}") from error


def _extract(salt: bytes, input_key: bytes) -> bytes:
    return hmac.digest(salt, input_key, "sha256")


def _expand(secret: bytes, info: bytes, size: int) -> bytes:
    return HKDFExpand(SHA256(), size, info).derive(secret)


def _chunk_keys(secret: bytes, chunk: ChunkId) -> tuple[bytes, bytes]:
    material = _expand(secret, _INFO + chunk.packed(), 2 * KEY_SIZE)
    return material[:KEY_SIZE], material[KEY_SIZE:]


def _check_commitment(commitment: bytes, leaf: Leaf) -> None:
    if not hmac.compare_digest(commitment.hex(), leaf.key_commitment):
        raise SealError("this is not the key that sealed the chunk (key_commitment differs)")


def _encrypt_into(out: memoryview, key: bytes, pieces: Iterable[Buffer], extra: bytes) -> None:
    """AES-256-GCM with nonce zero over the joined pieces, then the tag, into exactly as many bytes."""
    cipher = Cipher(algorithms.AES(key), modes.GCM(_ZERO_NONCE)).encryptor()
    cipher.authenticate_additional_data(extra)
    position = 0
    for piece in pieces:
        position += cipher.update_into(piece, out[position:])
    cipher.finalize()
    out[position:] = cipher.tag


def _additional_data(chunk: ChunkId, codec: Codec, plain_size: int) -> bytes:
    """38 bytes: version u8, chunk id (28 bytes), codec u8, plain size u64, big-endian."""
    numbers = bytes([_CODEC_NUMBERS[codec]]) + plain_size.to_bytes(8, "big")
    return bytes([_VERSION]) + chunk.packed() + numbers


def _check_length(field: str, value: bytes, size: int) -> None:
    if len(value) != size:
        raise FormatError(field, f"{len(value)} bytes; it must have {size}")
