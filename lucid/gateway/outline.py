"""What an OpenAPI document says, as the few values that a reference for people is drawn from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]

METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Value:
    """A parameter, or a field of a shape."""

    name: str
    place: str
    """`path` or `query` for parameters, else empty."""
    kind: str
    """Its type in words; names of shapes in brackets, as in `list of [Session]`."""
    required: bool
    text: str


@dataclass(frozen=True)
class Operation:
    """One method on one path."""

    method: str
    path: str
    summary: str
    text: str
    values: tuple[Value, ...]
    body: str
    answers: tuple[tuple[str, str], ...]
    """Status, and what comes with it; kinds as in `Value`. Failures that all may have are left out."""

    @property
    def group(self) -> str:
        """The first part of the path behind the prefix."""
        return self.path.split("/")[3]


@dataclass(frozen=True)
class Shape:
    """A JSON object."""

    name: str
    text: str
    values: tuple[Value, ...]


def groups(document: Schema) -> dict[str, list[Operation]]:
    """Every operation of a document by the first part of its path, all in the document's order."""
    found: dict[str, list[Operation]] = {}
    for path, methods in document["paths"].items():
        for method in METHODS:
            if method in methods:
                operation = _operation(method, path, methods[method])
                found.setdefault(operation.group, []).append(operation)
    return found


def shapes(document: Schema) -> Iterator[Shape]:
    """Every JSON object of a document, by name."""
    for name, schema in sorted(document["components"]["schemas"].items()):
        required = schema.get("required", ())
        values = tuple(
            Value(field, "", kind(each), field in required, each.get("description", ""))
            for field, each in schema.get("properties", {}).items()
        )
        yield Shape(name, schema.get("description", ""), values)


def kind(schema: Schema) -> str:
    """A schema's type in words."""
    if "$ref" in schema:
        return f"[{schema['$ref'].rsplit('/', 1)[1]}]"
    if "anyOf" in schema:
        return " or ".join(kind(each) for each in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        choices = schema.get("enum", [schema.get("const")])
        return f"{'one of ' if len(choices) > 1 else ''}{', '.join(map(str, choices))}"
    if schema.get("type") == "array":
        return f"list of {kind(schema.get('items', {}))}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"map to {kind(schema['additionalProperties'])}"
    return " ".join((str(schema.get("type", "anything")), *_bounds(schema)))


def _bounds(schema: Schema) -> Iterator[str]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        yield f"{low} to {high}"
    elif low is not None:
        yield f"from {low}"
    elif high is not None:
        yield f"up to {high}"
    if "maxLength" in schema:
        yield f"of at most {schema['maxLength']} characters"
    if schema.get("default") is not None:
        yield f"(default {schema['default']})"


def _operation(method: str, path: str, found: Schema) -> Operation:
    values = tuple(
        Value(
            each["name"],
            each["in"],
            kind(each["schema"]),
            each["required"],
            each["schema"].get("description", ""),
        )
        for each in found["parameters"]
    )
    answers = tuple(
        (status, f"{each['description']} {_content(each)}".strip())
        for status, each in found["responses"].items()
        if status.startswith("2") or "LUCID_ERR" in each["description"]
    )
    body = _content(found["requestBody"]) if "requestBody" in found else ""
    return Operation(
        method.upper(),
        path,
        found["summary"],
        found.get("description", "For everybody."),
        values,
        body,
        answers,
    )


def _content(part: Schema) -> str:
    """What a request or an answer carries; for failures, which all carry the same, nothing."""
    for media, content in part.get("content", {}).items():
        said = kind(content["schema"])
        if said == "[Envelope]":
            return ""
        return said if media == "application/json" else media
    return ""
