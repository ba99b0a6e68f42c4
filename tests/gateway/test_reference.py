"""The API's reference: complete, in step with the routes, and harmless to open."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from lucid import catalog
from lucid.gateway import reference
from lucid.gateway.outline import groups, kind, shapes
from lucid.gateway.table import document, public_routes

DOCS = Path(__file__).parents[2] / "docs/api.md"


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return document(catalog.load())


class Page(HTMLParser):
    """The ids, links and elements of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.elements: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.elements.add(tag)
        self.ids |= {each for each in [found.get("id")] if each}
        self.links |= {each for each in [found.get("href")] if each}


class TestThePage:
    def test_names_every_operation(self, described: dict[str, Any]) -> None:
        text = reference.html(described)
        for route in public_routes(catalog.load()):
            assert f'<span class="method">{route.method}</span> /api/v1{route.path}<' in text

    def test_has_a_place_for_every_link(self, described: dict[str, Any]) -> None:
        page = Page(reference.html(described))
        assert {link[1:] for link in page.links if link.startswith("#")} <= page.ids

    def test_runs_and_fetches_nothing(self, described: dict[str, Any]) -> None:
        page = Page(reference.html(described))
        assert not page.elements & {"script", "img", "link", "iframe", "form"}
        assert {link for link in page.links if not link.startswith("#")} == {"openapi.json"}

    def test_shows_what_a_description_says_and_does_not_obey_it(self) -> None:
        schema = {"properties": {"x": {"type": "string", "description": "<script>alert(1)</script>"}}}
        hostile = {
            "info": {"title": "<b>", "version": "1"},
            "paths": {},
            "components": {"schemas": {"Thing": schema}},
        }
        text = reference.html(hostile)
        assert "&lt;script&gt;" in text
        assert Page(text).elements.isdisjoint({"script", "b"})


class TestTheDocs:
    def test_are_what_the_routes_say(self, described: dict[str, Any]) -> None:
        assert DOCS.read_text(encoding="utf-8") == reference.markdown(described), "run `make docs`"

    def test_have_a_heading_for_every_link(self, described: dict[str, Any]) -> None:
        text = reference.markdown(described)
        headings = {line.lstrip("# ").lower() for line in text.splitlines() if line.startswith("#")}
        assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings


class TestTheOutline:
    def test_groups_operations_by_the_first_part_of_their_path(self, described: dict[str, Any]) -> None:
        found = groups(described)
        assert {each.path.split("/")[3] for each in found["sessions"]} == {"sessions"}
        assert sum(map(len, found.values())) == sum(len(methods) for methods in described["paths"].values())

    def test_says_which_fields_may_be_left_out(self, described: dict[str, Any]) -> None:
        register = next(each for each in shapes(described) if each.name == "Register")
        assert {value.name: value.required for value in register.values} | {"email": True} == {
            "email": True,
            "password": True,
            "bootstrap_token": False,
        }

    @pytest.mark.parametrize(
        ("schema", "words"),
        [
            ({"$ref": "#/components/schemas/Session"}, "[Session]"),
            ({"type": "array", "items": {"$ref": "#/components/schemas/Leaf"}}, "list of [Leaf]"),
            ({"type": "array"}, "list of anything"),
            ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "integer or null"),
            ({"enum": ["up", "down"]}, "one of up, down"),
            ({"const": "zstd"}, "zstd"),
            ({"type": "integer", "minimum": 1, "maximum": 120}, "integer 1 to 120"),
            ({"type": "integer", "minimum": 0}, "integer from 0"),
            ({"type": "integer", "maximum": 9, "default": 3}, "integer up to 9 (default 3)"),
            ({"type": "string", "maxLength": 200}, "string of at most 200 characters"),
            ({"type": "object", "additionalProperties": {"type": "string"}}, "map to string"),
        ],
    )
    def test_says_types_in_words(self, schema: dict[str, Any], words: str) -> None:
        assert kind(schema) == words
