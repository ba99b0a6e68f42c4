"""Statements: records that one key signs, each kind with a media type of its own."""

from typing import ClassVar, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lucid.evidence import canonical, dsse
from lucid.evidence.errors import SignatureError
from lucid.evidence.fields import Record


class Statement(Record, frozen=True):
    """A record that is signed as the payload of a DSSE envelope."""

    PAYLOAD_TYPE: ClassVar[str]


S = TypeVar("S", bound=Statement)


def sign(statement: Statement, key: Ed25519PrivateKey) -> bytes:
    """Return the canonical JSON of the DSSE envelope of `statement`, signed by `key`."""
    return dsse.sign(statement.PAYLOAD_TYPE, canonical.encode(statement), key)


def read(envelope: dsse.Envelope, kind: type[S]) -> S:
    """Return the statement without checking its signature; raise FormatError if it is not a `kind`."""
    return canonical.decode(envelope.body, kind, field=kind.__name__, limit=dsse.ENVELOPE_LIMIT)


def verify(envelope: dsse.Envelope, kind: type[S], public_key: bytes) -> S:
    """Return the statement if `public_key` signed it; raise SignatureError or FormatError otherwise."""
    dsse.verify(envelope, kind.PAYLOAD_TYPE, public_key)
    return read(envelope, kind)


def require_type(envelope: dsse.Envelope, kind: type[Statement]) -> None:
    """Raise SignatureError unless the envelope says that it holds a `kind`; nothing else is checked."""
    if envelope.payload_type != kind.PAYLOAD_TYPE:
        raise SignatureError(f"the envelope holds {envelope.payload_type!r}, not {kind.PAYLOAD_TYPE!r}")
