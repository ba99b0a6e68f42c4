"""Session keys at rest: each is wrapped under a key-encryption key (KEK) derived from a password.

Changing the password re-wraps the session keys; no chunk is encrypted anew. See `docs/formats.md`.
"""

import hashlib
import secrets
from dataclasses import dataclass, field
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lucid.evidence.errors import FormatError, SealError

KEY_SIZE = 32
NONCE_SIZE = 12
MIN_SALT_SIZE = 16

SCRYPT_N = 2**15
SCRYPT_R = 8
SCRYPT_P = 1
_SCRYPT_MEMORY = 64 * 1024 * 1024
"""Upper bound in bytes; these parameters use 32 MiB."""


@dataclass(frozen=True, slots=True)
class Kek:
    """A key-encryption key and the id by which stored keys name it."""

    key: bytes = field(repr=False)
    id: str
    """16 hex digits: the first 8 bytes of SHA-256("lucid/kek-id/v1" || key)."""


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A session key as it is stored."""

    kek_id: str
    data: bytes
    """Nonce (12), encrypted key (32), tag (16): 60 bytes."""


def derive_kek(password: str, salt: bytes) -> Kek:
    """Return the KEK of a password: scrypt (RFC 7914) with N=2^15, r=8, p=1. Takes about 0.1 s and 32 MiB.

    Raise FormatError for an empty password or a salt under 16 bytes.
    """
    if not password:
        raise FormatError("password", "empty; an encryption password is needed")
    if len(salt) < MIN_SALT_SIZE:
        raise FormatError("salt", f"{len(salt)} bytes; at least {MIN_SALT_SIZE} random bytes are needed")
    key = hashlib.scrypt(
        password.encode(),
        salt=salt,
        n=SCRYPT_N,
        r=SCRYPT_R,
        p=SCRYPT_P,
        maxmem=_SCRYPT_MEMORY,
        dklen=KEY_SIZE,
    )
    return Kek(key=key, id=hashlib.sha256(b"lucid/kek-id/v1" + key).hexdigest()[:16])


def wrap_session_key(kek: Kek, session: str, session_key: bytes) -> WrappedKey:
    """Encrypt a 32-byte session key under `kek`, tied to its session (AES-256-GCM, random nonce)."""
    if len(session_key) != KEY_SIZE:
        raise FormatError("session_key", f"{len(session_key)} bytes; it must have {KEY_SIZE}")
    nonce = secrets.token_bytes(NONCE_SIZE)
    sealed = AESGCM(kek.key).encrypt(nonce, session_key, _additional_data(session, kek.id))
    return WrappedKey(kek_id=kek.id, data=nonce + sealed)


def unwrap_session_key(kek: Kek, session: str, wrapped: WrappedKey) -> bytes:
    """Return the session key; raise SealError if it was wrapped for another session or under another KEK."""
    if wrapped.kek_id != kek.id:
        raise SealError(
            f"the session key is wrapped under KEK {wrapped.kek_id}, not {kek.id}; "
            "was ENCRYPTION_PASSWORD or ENCRYPTION_SALT changed without re-wrapping?"
        )
    nonce, sealed = wrapped.data[:NONCE_SIZE], wrapped.data[NONCE_SIZE:]
    try:
        return AESGCM(kek.key).decrypt(nonce, sealed, _additional_data(session, kek.id))
    except (InvalidTag, ValueError) as error:
        raise SealError(f"the wrapped key of session {session} does not open: it was altered") from error


def _additional_data(session: str, kek_id: str) -> bytes:
    return b"lucid/session-key/v1" + UUID(session).bytes + bytes.fromhex(kek_id)
