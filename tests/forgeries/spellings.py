"""Forgeries of JSON: each record of a bundle in spellings that other readers would take for the same, or not
survive. Statements are signed in these spellings, so it is not the signature that fails.
"""

import json
import re
from collections.abc import Callable, Iterator
from functools import partial

from tests.forgeries.forging import Evidence, Forgery
from tests.forgeries.records import PLACES, Place

Spelling = Callable[[bytes, int], bytes]
"""From a canonical record, and the bytes that fit in its place, to the forgery."""

_VALUE = re.compile(rb'(?<=[:\[])([0-9]+|"[^"]*")')


def _first_value(record: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The record with its first number or text spelled in another way."""
    number = re.search(rb"(?<=:)[0-9]+", record) or _VALUE.search(record)
    assert number is not None
    return record[: number.start()] + change(number[0]) + record[number.end() :]


def _as(text: bytes) -> Spelling:
    return lambda record, _: _first_value(record, lambda _: text)


def _after_the_value(text: bytes) -> Spelling:
    return lambda record, _: _first_value(record, lambda value: value + text)


def _nested(record: bytes, limit: int) -> bytes:
    """As deep as fits: up to a hundred thousand levels."""
    depth = (limit - len(record)) // 2 - 8
    return _first_value(record, lambda _: b"[" * depth + b"]" * depth)


def _huge(record: bytes, limit: int) -> bytes:
    """As many digits as fit."""
    return _first_value(record, lambda _: b"9" * (limit - len(record) - 8))


def _reversed(record: bytes, _: int) -> bytes:
    fields = dict(reversed(json.loads(record).items()))
    return json.dumps({**fields, "z": 0} if len(fields) == 1 else fields, separators=(",", ":")).encode()


def _removed(record: bytes, _: int) -> bytes:
    fields = json.loads(record)
    fields.pop(min(fields))
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def _first_field(record: bytes) -> bytes:
    """`"name":value` of the first field, whose value may nest."""
    value, end = json.JSONDecoder().raw_decode(record.decode(), record.index(b":") + 1)
    assert value is not None
    return record[1:end]


SPELLINGS_OF_JSON: dict[str, tuple[str, Spelling]] = {
    "a space": ("hashes differ, meanings do not", lambda record, _: record.replace(b":", b": ", 1)),
    "fields in another order": ("as before", _reversed),
    "a field twice": (
        "one reader takes the first, another the last",
        lambda record, _: b"{" + _first_field(record) + b"," + record[1:],
    ),
    "a field twice with null first": (
        "as before",
        lambda record, _: b"{" + record[1 : record.index(b":") + 1] + b"null," + record[1:],
    ),
    "an unknown field": ("a place to smuggle", lambda record, _: record[:-1] + b',"zz":0}'),
    "a field named as an escape sequence": (
        "quoted in an error, the auditor's terminal obeys it: green and `verified`",
        lambda record, _: b'{"\\u001b[2J\\u001b[32mverified":0,' + record[1:],
    ),
    "a field named to be read backwards": (
        "the same, by U+202E",
        lambda record, _: '{"\u202edeifirev":0,'.encode() + record[1:],
    ),
    "a field left out": ("a default would speak in its place", _removed),
    "an escaped letter": (
        "as a space",
        lambda record, _: b'{"\\u%04x' % record[2] + record[3:],
    ),
    "an escaped slash": ("as a space", _after_the_value(b'"\\/"')),
    "a byte-order mark": ("some readers skip it", lambda record, _: b"\xef\xbb\xbf" + record),
    "a newline at the end": ("some readers skip it", lambda record, _: record + b"\n"),
    "a second record after it": ("some readers take the last", lambda record, _: record + record),
    "a comment": ("some readers skip it", lambda record, _: record + b"//"),
    "a comma too many": ("some readers skip it", lambda record, _: record[:-1] + b",}"),
    "its last byte missing": ("a damaged record", lambda record, _: record[:-1]),
    "UTF-16": ("some readers guess encodings", lambda record, _: record.decode().encode("utf-16-le")),
    "invalid UTF-8": ("readers differ on what to put for it", _as(b'"\xff"')),
    "a lone surrogate": ("not text; cannot be encoded", _as(b'"\\ud800"')),
    "a NUL": ("ends the text for programs in C", _after_the_value(b"\0")),
    "1.0 for 1": ("a second spelling", _after_the_value(b".0")),
    "1e0 for 1": ("a second spelling", _after_the_value(b"e0")),
    "-0": ("a second zero", _as(b"-0")),
    "01": ("octal for some", _as(b"01")),
    "NaN": ("unequal to itself", _as(b"NaN")),
    "Infinity": ("larger than any limit", _as(b"Infinity")),
    "true for 1": ("equal in some languages", _as(b"true")),
    "an exponent of a million": ("a small text, a large number", _as(b"1e1000000")),
    "a number beyond 64 bits": ("wraps around in some languages", _as(b"18446744073709551617")),
    "a huge number": ("quadratic time to read", _huge),
    "deep nesting": ("a full stack is a crash", _nested),
    "an array": ("another type of record", lambda record, _: b"[" + record + b"]"),
    "nothing": ("an empty record", lambda *_: b""),
}


def _spelled(place: Place) -> Iterator[Forgery]:
    for name, (why, spelling) in SPELLINGS_OF_JSON.items():
        yield Forgery(f"{place.name} with {name}", why, partial(_with, place, spelling), place.malformed)


def _with(place: Place, spelling: Spelling) -> Evidence:
    return place.evidence(spelling(place.record, place.limit))


SPELLINGS = {place.name: tuple(_spelled(place)) for place in PLACES}
"""For each place."""
