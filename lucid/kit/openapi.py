"""OpenAPI 3.1 documents, generated from typed routes (https://spec.openapis.org/oas/v3.1.0)."""

import http
from collections.abc import Iterable
from typing import Any

import msgspec

from lucid import __version__
from lucid.kit.errors import Code, Envelope
from lucid.kit.routes import Access, Nothing, Route, Stream

REF = "#/components/schemas/{name}"


def document(
    title: str, routes: Iterable[Route[Any, Any, Any]], prefix: str = "", everywhere: Iterable[Code] = ()
) -> dict[str, Any]:
    """The OpenAPI document of `routes`, each path with `prefix` in front.

    `everywhere` are failures that all of them have beside their own.
    """
    shared = {code.status for code in everywhere}
    found = list(routes)
    types = {t for r in found for t in (r.body, r.response) if t not in {Nothing, Stream}}
    ordered = [*sorted(types, key=str), Envelope]
    schemas, components = msgspec.json.schema_components(ordered, ref_template=REF)
    schema_of = dict(zip(ordered, schemas, strict=True))
    paths: dict[str, Any] = {}
    for route in found:
        paths.setdefault(prefix + route.path, {})[route.method.lower()] = _operation(route, schema_of, shared)
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Lucid {title}", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _operation(route: Route[Any, Any, Any], schema_of: dict[Any, Any], shared: set[int]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "Done."}
    if route.response is Stream:
        success["content"] = _streamed(route.media)
    elif route.response is not Nothing:
        success["content"] = {"application/json": {"schema": schema_of[route.response]}}
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": f"{route.method.lower()}_{route.path.strip('/').replace('/', '_')}".translate(
            str.maketrans("", "", "{}")
        ),
        "parameters": _parameters(route),
        "responses": {str(route.status): success, **_failures(route, schema_of, shared)},
    }
    if route.body is Stream:
        operation["requestBody"] = {"required": True, "content": _streamed(route.media)}
    elif route.body is not Nothing:
        content = {"application/json": {"schema": schema_of[route.body]}}
        operation["requestBody"] = {"required": True, "content": content}
    if route.access > Access.PUBLIC:
        operation["security"] = [{"bearer": []}]
        operation["description"] = f"Needs the role {route.access.role}."
    if route.seconds is not None:
        taken = f"An answer may take {route.seconds:g} s."
        operation["description"] = f"{operation.get('description', '')} {taken}".strip()
    return operation


def _streamed(media: str) -> dict[str, Any]:
    """Content that is passed on as it comes."""
    schema = {"type": "object"} if media == "application/json" else {"type": "string", "format": "binary"}
    return {media: {"schema": schema}}


def _parameters(route: Route[Any, Any, Any]) -> list[dict[str, Any]]:
    schema = msgspec.json.schema_components([route.params], ref_template=REF)[1][route.params.__name__]
    required = set(schema.get("required", ()))
    return [
        {
            "name": name,
            "in": "path" if name in route.path_names else "query",
            "required": name in required,
            "schema": value,
        }
        for name, value in schema.get("properties", {}).items()
    ]


def _failures(route: Route[Any, Any, Any], schema_of: dict[Any, Any], shared: set[int]) -> dict[str, Any]:
    failures = {}
    for status in sorted({code.status for code in route.failures} | shared):
        own = (code for code in route.errors if code.status == status)
        told = ", ".join(f"{code.name.replace('_', ' ').lower()} ({code.label})" for code in own)
        failures[str(status)] = f"{told or http.HTTPStatus(status).phrase}."
    failures["default"] = "Any other failure."
    content = {"application/json": {"schema": schema_of[Envelope]}}
    return {status: {"description": text, "content": content} for status, text in failures.items()}
