"""Values for typed routes: valid ones from the types themselves, and such with something wrong."""

import random
import re
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import inspect

SESSIONS = tuple(f"00000000-0000-4000-8000-{number:012x}" for number in range(4))
TEXTS = (
    *SESSIONS, "0" * 64, "f" * 64, "0" * 32, ":4242", "user", "super_admin", "somebody@example.org",
    "twelve letters and more", "1", "x", "0" * 130, "0" * 24, "123456", "public",
)  # fmt: skip
"""One of these fits each pattern that a contract has."""
NASTY: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53, 2**63, 2**64, 10**400, -(2**63) - 1, 0.5, 1e308, "", " ", "0",
    "\x00", "\u202e", "\ud800", "é" * 50, "../..", "%2e%2e%2f", "$where", "$gt", "a" * 5000, "{}", "[]",
    "null", "'; --", [], {}, [[]], {"$gt": ""}, {"": {}}, "2024-02-30", "NaN", "\r\nX: y",
)  # fmt: skip


def valid(rng: random.Random, of: type) -> Any:
    """A value of a msgspec type, as JSON has it."""
    return _valid(rng, inspect.type_info(of))


def _valid(rng: random.Random, of: inspect.Type) -> Any:
    maker = _MAKERS.get(type(of))
    if maker is None:
        raise LookupError(f"no values are known for {of}; add a maker")
    return maker(rng, of)


def _struct(rng: random.Random, of: Any) -> dict[str, Any]:
    return {f.encode_name: _valid(rng, f.type) for f in of.fields if f.required or rng.random() < 0.5}


def _text(rng: random.Random, of: Any) -> str:
    fitting = [text for text in TEXTS if not of.pattern or re.search(of.pattern, text)]
    if not fitting:
        raise LookupError(f"no text fits the pattern {of.pattern}; add one to TEXTS")
    least = of.min_length or 0
    text = rng.choice([each for each in fitting if len(each) >= least] or [fitting[0].ljust(least, "x")])
    return text if of.max_length is None else text[: of.max_length]


def _integer(rng: random.Random, of: Any) -> int:
    low = of.ge if of.ge is not None else 0 if of.gt is None else of.gt + 1
    high = of.le if of.le is not None else low + 1000 if of.lt is None else of.lt - 1
    return int(rng.choice((low, high, rng.randint(low, high), rng.randint(low, min(high, low + 5)))))


def _items(rng: random.Random, of: Any) -> list[Any]:
    least = of.min_length or 0
    return [_valid(rng, of.item_type) for _ in range(rng.randint(least, least + 3))]


_MAKERS: dict[type, Callable[[random.Random, Any], Any]] = {
    inspect.Metadata: lambda rng, of: _valid(rng, of.type),
    inspect.StructType: _struct,
    inspect.StrType: _text,
    inspect.IntType: _integer,
    inspect.FloatType: lambda rng, _: rng.random() * 100,
    inspect.BoolType: lambda rng, _: rng.random() < 0.5,
    inspect.NoneType: lambda *_: None,
    inspect.AnyType: lambda *_: "any",
    inspect.LiteralType: lambda rng, of: rng.choice(of.values),
    inspect.UnionType: lambda rng, of: _valid(rng, rng.choice(of.types)),
    inspect.VarTupleType: _items,
    inspect.ListType: _items,
}


def mutated(rng: random.Random, value: Any) -> Any:
    """The value with one thing wrong somewhere in it."""
    if value and rng.random() < 0.8:
        if isinstance(value, dict):
            return _mutated_object(rng, value)
        if isinstance(value, list):
            return _mutated_list(rng, value)
        if isinstance(value, str):
            return _mutated_text(rng, value)
    if isinstance(value, int) and rng.random() < 0.4:
        return value + rng.choice((-1, 1, 2**31, -(2**53)))
    return rng.choice(NASTY)


def _mutated_object(rng: random.Random, value: dict[str, Any]) -> dict[str, Any]:
    name = rng.choice(sorted(value))
    rest = {key: each for key, each in value.items() if key != name}
    others: tuple[dict[str, Any], ...] = (
        {},
        {name: value[name], name + rng.choice(("x", " ", "\x00")): value[name]},
        {rng.choice(("$set", "_id", "__proto__", "")): value[name]},
    )
    return rest | (rng.choice(others) if rng.random() < 0.4 else {name: mutated(rng, value[name])})


def _mutated_list(rng: random.Random, value: list[Any]) -> list[Any]:
    place = rng.randrange(len(value))
    before, after = value[:place], value[place + 1 :]
    others = (before + after, value * 2, value * 50, value[::-1])
    return rng.choice(others) if rng.random() < 0.4 else [*before, mutated(rng, value[place]), *after]


def _mutated_text(rng: random.Random, text: str) -> str:
    place = rng.randrange(len(text))
    return rng.choice(
        (
            text[:place],
            text[:place] + rng.choice("\x00\n'\"\\é0zA/") + text[place + 1 :],
            text + text,
            text.upper(),
            " " + text,
        )
    )


def encoded(rng: random.Random, value: Any) -> bytes:
    """The value as JSON, sometimes in a way that JSON is not written."""
    raw = _json(value)
    if rng.random() < 0.6:
        return raw
    place, depth = rng.randrange(len(raw) + 1), rng.choice((10, 1000, 20_000))
    return rng.choice(
        (
            raw[:place],
            raw + rng.choice((b"}", b" {}", b"\x00", raw)),
            raw[:place] + rng.randbytes(rng.randint(1, 4)) + raw[place:],
            raw.replace(b'"', b"'"),
            b"\xef\xbb\xbf" + raw,
            b"[" * depth + raw + b"]" * depth,
            b"{" + raw[1:-1] + b"," + raw[1:],  # every name twice, if it is an object
        )
    )


def _json(value: Any) -> bytes:
    """JSON of anything, lone surrogates and huge integers included."""
    if isinstance(value, dict):
        return b"{" + b",".join(_json(str(k)) + b":" + _json(v) for k, v in value.items()) + b"}"
    if isinstance(value, list | tuple):
        return b"[" + b",".join(map(_json, value)) + b"]"
    if isinstance(value, str):
        return b'"' + b"".join(_escaped(letter) for letter in value) + b'"'
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value).encode()
    return msgspec.json.encode(value)


def _escaped(letter: str) -> bytes:
    return (
        letter.encode()
        if letter.isascii() and letter.isprintable() and letter not in '"\\'
        else (b"\\u%04x" % ord(letter))
    )
