"""Canonical JSON: one record has exactly one sequence of bytes (RFC 8785, the JSON canonicalization scheme).

What arrives is decoded strictly and must then encode to the very bytes it arrived as. That one rule refuses
spaces, another order of keys, duplicate keys, needless escapes, `-0`, `1.0`, `1e3` and byte-order marks.
"""

from typing import TypeVar

import msgspec
import rfc8785

from lucid.evidence.errors import FormatError

R = TypeVar("R", bound=msgspec.Struct)

DEFAULT_LIMIT = 64 * 1024
"""Bytes; a record of a kind that can be larger states its own limit."""


def encode(record: msgspec.Struct) -> bytes:
    """Return the canonical JSON of `record`; raise FormatError if one of its values breaks its own rules.

    A field with an empty object is left out: a group in which nothing is set has no second spelling.
    """
    kind = type(record)
    try:
        fields = msgspec.to_builtins(record)
        data = rfc8785.dumps({name: value for name, value in fields.items() if value != {}})
        msgspec.json.decode(data, type=kind)
    except (rfc8785.CanonicalizationError, msgspec.ValidationError) as error:
        raise FormatError(kind.__name__, str(error)) from error
    return data


def decode(data: bytes, kind: type[R], *, field: str, limit: int = DEFAULT_LIMIT) -> R:
    """Return the record that `data` is the canonical JSON of.

    `field` names the record in errors. Raise FormatError when the bytes are longer than `limit`, are not
    JSON, are not a `kind`, or are not the canonical encoding of what they say.
    """
    if len(data) > limit:
        raise FormatError(field, f"{len(data)} bytes; at most {limit} are allowed")
    try:
        record = msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FormatError(field, str(error)) from error
    except RecursionError as error:
        raise FormatError(field, "nested too deeply") from error
    if encode(record) != data:
        raise FormatError(
            field, "not canonical JSON (RFC 8785): other key order, spacing, escapes or numbers"
        )
    return record
