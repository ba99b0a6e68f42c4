"""The trust file: what an auditor has been told, out of band, about whom to believe.

It is JSON for people to read and compare, strict but not canonical. Everything else in a verification comes
from the bundle, which may be forged; this file must come from somewhere else.
"""

import json
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from lucid.evidence.checkpoint import Cosigner, parse_vkey
from lucid.evidence.errors import FormatError
from lucid.evidence.fields import Digest, Name, Record

TRUST_LIMIT = 256 * 1024
"""Bytes of a trust file, at most."""

_Keys = Annotated[tuple[str, ...], msgspec.Meta(max_length=128)]


class TrustFile(Record, frozen=True, kw_only=True):
    """The file's fields."""

    format: Literal["lucid-trust/v1"]
    origin: Name
    """Name of the log."""
    genesis_hash: Digest
    """Hash of the log's block 0."""
    validators: Annotated[_Keys, msgspec.Meta(min_length=1)]
    """Vkeys of the validators."""
    quorum: int
    """How many validators must have cosigned: more than two thirds of them."""
    witnesses: _Keys = ()
    """Vkeys of outside witnesses."""
    witness_quorum: int = 0
    """How many witnesses must have cosigned."""


@dataclass(frozen=True, slots=True)
class Trust:
    """A trust file whose keys have been read and whose numbers make sense."""

    origin: str
    genesis_hash: str
    validators: tuple[Cosigner, ...]
    quorum: int
    witnesses: tuple[Cosigner, ...]
    witness_quorum: int


def default_quorum(validators: int) -> int:
    """Return floor(2n/3)+1: two such quorums always share an honest validator if under a third lie."""
    return 2 * validators // 3 + 1


def parse(data: bytes) -> Trust:
    """Return the trust file in `data`; raise FormatError, naming the field, if it must not be relied on."""
    if len(data) > TRUST_LIMIT:
        raise FormatError("trust file", f"{len(data)} bytes; at most {TRUST_LIMIT} are allowed")
    try:
        json.loads(data, object_pairs_hook=_refuse_duplicates)
        return read(msgspec.json.decode(data, type=TrustFile))
    except FormatError:
        raise
    except (ValueError, RecursionError) as error:  # msgspec's and json's errors are ValueErrors
        raise FormatError("trust file", str(error)) from error


def read(file: TrustFile) -> Trust:
    """Return what a trust file says, its keys parsed; raise FormatError if it contradicts itself."""
    validators = tuple(parse_vkey(text) for text in file.validators)
    witnesses = tuple(parse_vkey(text) for text in file.witnesses)
    everyone = validators + witnesses
    # A cosignature does not cover the signer's name, so one key under two names would count twice.
    if len({cosigner.public_key for cosigner in everyone}) < len(everyone):
        raise FormatError("validators, witnesses", "a public key is listed twice")
    if len({cosigner.name for cosigner in everyone}) < len(everyone):
        raise FormatError("validators, witnesses", "a name is listed twice")
    needed = default_quorum(len(validators))
    if not needed <= file.quorum <= len(validators):
        raise FormatError(
            "quorum", f"{file.quorum}; with {len(validators)} validators it is {needed} to {len(validators)}"
        )
    if not 0 <= file.witness_quorum <= len(witnesses):
        raise FormatError("witness_quorum", f"{file.witness_quorum}; it is 0 to {len(witnesses)}")
    return Trust(file.origin, file.genesis_hash, validators, file.quorum, witnesses, file.witness_quorum)


def encode(file: TrustFile) -> bytes:
    """Return the file's JSON, indented for reading; raise FormatError if it contradicts itself."""
    read(file)
    return msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"


def _refuse_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise FormatError("trust file", "a field is given twice")
    return fields
