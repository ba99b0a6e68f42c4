"""Forgeries of each field: every value of every record of a bundle is altered, one at a time.

A statement's fields are altered twice: under its old signature, and by a forger who holds its key and signs
it anew.
"""

import base64
import json
import re
from collections.abc import Iterator
from functools import partial

from tests.forgeries.forging import Evidence, Forgery
from tests.forgeries.records import PLACES, Place, canonical_json

Path = tuple[str | int, ...]
_SESSION_LENGTH = 36


def values(node: object, path: Path = ()) -> Iterator[tuple[Path, object]]:
    """Each value that is no object and no list, and the way to it."""
    if isinstance(node, dict):
        for key, item in node.items():
            yield from values(item, (*path, key))
    elif isinstance(node, list):
        for number, item in enumerate(node):
            yield from values(item, (*path, number))
    else:
        yield path, node


def replaced(record: bytes, path: Path, value: object) -> bytes:
    """The record, in canonical form, with another value in one place."""
    root = json.loads(record)
    node = root
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return canonical_json(root)


def another(path: Path, value: object) -> object:
    """Another value that looks as good: the next number, another digest, session, signature or text."""
    if isinstance(value, int):
        return value + 1
    assert isinstance(value, str)
    if path[-1] == "payload":
        return base64.b64encode(b"{}").decode()
    if path[-1] == "sig" or re.fullmatch("[0-9a-f]{64}", value):
        return ("1" if value[0] == "0" else "0") + value[1:]
    if len(value) == _SESSION_LENGTH:
        return value[:-1] + ("1" if value[-1] == "0" else "0")
    return value + "x"


def impossible(value: object) -> dict[str, object]:
    """Values that the field cannot have, whatever the rest says."""
    if isinstance(value, int):
        return {"null": None, "negative": -1, "2^53": 2**53, "text": str(value), "a fraction": 1.5}
    return {"null": None, "a number": 7, "a list": [value]}


def _altered(place: Place) -> Iterator[Forgery]:
    for path, value in values(json.loads(place.record)):
        spelled = "/".join(map(str, path))
        step = next(step for pattern, step in place.steps.items() if re.fullmatch(pattern, spelled))
        yield Forgery(
            f"{place.name}: {spelled} altered",
            "every field is under a hash or a signature",
            partial(_with_value, place, path, another(path, value)),
            step,
        )
        for name, other in impossible(value).items():
            yield Forgery(
                f"{place.name}: {spelled} is {name}",
                "what is no such record is not guessed at",
                partial(_with_value, place, path, other),
                place.malformed,
            )


def _with_value(place: Place, path: Path, value: object) -> Evidence:
    return place.evidence(replaced(place.record, path, value))


FIELDS = {place.name: tuple(_altered(place)) for place in PLACES}
"""For each place."""
