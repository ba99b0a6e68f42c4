"""The documents that are generated from routes."""

from importlib import import_module
from typing import Any

import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from lucid import catalog
from lucid.kit import openapi
from tests.kit import parrot
from tests.kit.live import House


def valid(document: dict[str, Any]) -> dict[str, Any]:
    """The document as it is sent, after validation against the specification's schema."""
    sent: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document))
    OpenAPIV31SpecValidator(sent).validate()
    return sent


class TestContracts:
    @pytest.mark.parametrize("name", catalog.load().services)
    def test_give_a_valid_document(self, name: str) -> None:
        routes = import_module(catalog.load().services[name].contract).ROUTES
        paths = valid(openapi.document(name, routes, "/api/v1"))["paths"]
        operations = [operation for path in paths.values() for operation in path.values()]
        assert len(operations) == len(routes)
        assert len({operation["operationId"] for operation in operations}) == len(routes)


class TestADocument:
    async def test_is_served_by_each_service(self, house: House) -> None:
        async with (
            house.serve(parrot.build(), parrot.SERVICE),
            house.asking(parrot.CALLER, parrot.SERVICE) as caller,
            caller.ask("GET", "/openapi.json") as answer,
        ):
            document = valid(await answer.json())
        assert set(document["paths"]) == {route.path for route, _ in parrot.handlers.bound}
        repeat = document["paths"]["/repeat/{word}"]["get"]
        assert {p["name"]: (p["in"], p["required"]) for p in repeat["parameters"]} == {
            "word": ("path", True),
            "times": ("query", False),
        }
        assert "default" in repeat["responses"]
        assert document["paths"]["/mine"]["get"]["security"] == [{"bearer": []}]
        assert "security" not in repeat
        upload = document["paths"]["/upload"]["put"]
        assert set(upload["requestBody"]["content"]) == {"video/mp4"}
