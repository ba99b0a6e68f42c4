"""DSSE v1 envelopes (secure-systems-lab/dsse, protocol 1.0.0) with one Ed25519 signature (RFC 8032).

The envelope's JSON is canonical, with padded standard base64, so that one statement signed by one key has one
sequence of bytes, which can then be an entry of the log. The key id is no mere hint here: it is the SHA-256
of the raw public key, and a signature counts only for the key it names.
"""

import base64
import binascii
import hashlib
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from lucid.evidence import canonical
from lucid.evidence.errors import SignatureError
from lucid.evidence.fields import Digest, Record

ENVELOPE_LIMIT = 256 * 1024
"""Bytes of an envelope's canonical JSON, at most."""


class Signature(Record, frozen=True, kw_only=True):
    """Who signed, and the signature."""

    keyid: Digest
    """SHA-256 of the signer's raw 32-byte public key."""
    sig: str
    """Base64 of the 64-byte Ed25519 signature over the pre-authentication encoding."""

    def __post_init__(self) -> None:
        if len(_decode_base64(self.sig)) != 64:
            raise ValueError("sig is not 64 bytes")


class Envelope(Record, frozen=True, kw_only=True):
    """A signed statement."""

    payload: str
    """Base64 of the statement's canonical JSON."""
    payload_type: str = msgspec.field(name="payloadType")
    """Media type of the statement; it is signed too."""
    signatures: Annotated[tuple[Signature, ...], msgspec.Meta(min_length=1, max_length=1)]

    def __post_init__(self) -> None:
        _decode_base64(self.payload)

    @property
    def body(self) -> bytes:
        """The statement's bytes. Nothing has been verified by reading them."""
        return base64.b64decode(self.payload)

    @property
    def signer(self) -> str:
        """The key id that the envelope claims to be signed by."""
        return self.signatures[0].keyid


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding: the bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def key_id(public_key: bytes) -> str:
    """Return the key id of a raw 32-byte public key: its SHA-256 in hex."""
    return hashlib.sha256(public_key).hexdigest()


def sign(payload_type: str, payload: bytes, key: Ed25519PrivateKey) -> bytes:
    """Return the canonical JSON of an envelope of `payload`, signed by `key`."""
    signature = Signature(
        keyid=key_id(key.public_key().public_bytes_raw()),
        sig=base64.b64encode(key.sign(pae(payload_type, payload))).decode(),
    )
    envelope = Envelope(
        payload=base64.b64encode(payload).decode(), payload_type=payload_type, signatures=(signature,)
    )
    return canonical.encode(envelope)


def parse(data: bytes) -> Envelope:
    """Return the envelope in `data`, unverified; raise FormatError if it is not one in canonical form."""
    return canonical.decode(data, Envelope, field="envelope", limit=ENVELOPE_LIMIT)


def verify(envelope: Envelope, payload_type: str, public_key: bytes) -> bytes:
    """Return the statement's bytes if `public_key` signed them as a `payload_type`.

    Raise SignatureError otherwise.
    """
    if envelope.payload_type != payload_type:
        raise SignatureError(f"the envelope holds {envelope.payload_type!r}, not {payload_type!r}")
    if envelope.signer != key_id(public_key):
        raise SignatureError(f"signed by key {envelope.signer}, not by {key_id(public_key)}")
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(
            _decode_base64(envelope.signatures[0].sig), pae(payload_type, envelope.body)
        )
    except (InvalidSignature, ValueError) as error:
        raise SignatureError(
            f"the signature by key {envelope.signer} does not cover this statement"
        ) from error
    return envelope.body


def _decode_base64(text: str) -> bytes:
    """Decode padded standard base64, refusing every other spelling of the same bytes."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("not base64") from error
    if base64.b64encode(data).decode() != text:
        raise ValueError("not canonical base64")
    return data
