"""Which operations stand behind the gateway: those that an exposed service's contract opens to people."""

import dataclasses
from importlib import import_module
from typing import Any, TypeVar

import msgspec

from lucid.catalog import Catalog
from lucid.contracts import api_gateway
from lucid.kit import openapi
from lucid.kit.errors import Code
from lucid.kit.routes import Access, Route

P = TypeVar("P", bound=msgspec.Struct)
B = TypeVar("B")
R = TypeVar("R")


def public_routes(catalog: Catalog) -> tuple[Route[Any, Any, Any], ...]:
    """Every route of an exposed service that has an outside audience, in the catalogue's order.

    Raises ValueError when two services claim the same operation.
    """
    owners: dict[tuple[str, str], str] = {}
    found = []
    for service in catalog.exposed():
        for route in import_module(service.contract).ROUTES:
            if route.access is Access.INTERNAL:
                continue
            shape = "/".join("{}" if part.startswith("{") else part for part in route.path.split("/"))
            owner = owners.setdefault((route.method, shape), route.service)
            if owner != route.service:
                raise ValueError(
                    f"{route.method} {route.path} is claimed by {owner} and {route.service};"
                    " rename it in one of their contracts"
                )
            found.append(route)
    return tuple(found)


def mounted(route: Route[P, B, R]) -> Route[P, B, R]:
    """The route where people find it."""
    return dataclasses.replace(route, path=api_gateway.PREFIX + route.path)


def document(catalog: Catalog) -> dict[str, Any]:
    """The OpenAPI document of all that the gateway answers."""
    routes: tuple[Route[Any, Any, Any], ...] = (*api_gateway.ROUTES, *public_routes(catalog))
    return openapi.document("API", routes, api_gateway.PREFIX, everywhere=(Code.RATE, Code.BREAKER_OPEN))
