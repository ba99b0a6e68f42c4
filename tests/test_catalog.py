"""The catalogue: the shipped one holds, a bad one is refused at its line."""

from importlib import import_module
from pathlib import Path

import pytest

from lucid import catalog
from lucid.catalog_reader import CatalogError
from lucid.kit import openapi

OBSERVERS = "observers: {prometheus: {group: support, user: prometheus, ports: [9090]}}\n"
GOOD = """\
stores:
  mongodb: {group: data, user: mongodb, unit: mongod.service, ports: [27017], local_port: 27117}
  redis: {group: data, user: redis, unit: redis-server.service, ports: [6379, 26379], local_port: 16379}
observers: {prometheus: {group: support, user: prometheus, ports: [9090]}}
services:
  front:
    cluster: web
    group: edge
    app: lucid.web.front:create
    contract: lucid.contracts.front
    listen:
      - {name: https, port: 8081, local_port: 8081, tls: server}
      - {name: http, port: 8080, local_port: 8080, tls: none}
    workers: 2
    memory: 1G
    cpu: 100
    stores: []
    calls:
      - back
      - deep
  back:
    cluster: web
    group: core
    app: lucid.web.back:create
    contract: lucid.contracts.back
    listen: [{name: internal, port: 8084, local_port: 18084, tls: mutual}]
    workers: 1
    memory: 1G
    cpu: 100
    stores: [mongodb]
    calls: [deep]
    database: web
    collections: [things]
  deep:
    cluster: web
    group: core
    app: lucid.web.deep:create
    contract: lucid.contracts.deep
    listen: [{name: internal, port: 8085, local_port: 18085, tls: mutual}]
    workers: 1
    memory: 1G
    cpu: 100
    stores: [mongodb, redis]
    database: web
    collections: [others]
    keys: [deep]
    calls: []
exporters: {node-exporter: {user: prometheus, port: 9100}}
carriers: {tor: {user: debian-tor, group: edge, ports: [9050]}, far: {user: far, group: core, ports: []}}
listeners: {desk: {user: desk, service: deep, ports: [9200, 9299], asks: 9199, announced: front}}
groups: {core: {hosts: several}}
"""

BAD = {
    "listener of nobody": ("service: deep, ports", "service: dep, ports", 50,
        "listener desk names `dep`, which the catalogue lacks"),
    "listener without a range": ("ports: [9200, 9299]", "ports: [9299, 9200]", 50,
        "listener desk needs `ports`, the first below the last, above `asks`"),
    "unknown callee": ("      - deep\n", "      - dep\n", 20,
        "service front calls `dep`, which the catalogue lacks"),
    "itself": ("      - deep\n", "      - front\n", 20, "service front calls itself"),
    "optional and not called": ("      - deep\n", "      - deep\n    optional: [gone]\n", 21,
        "service front does not call `gone`, so it is not optional"),
    "unknown store": ("stores: [mongodb]\n", "stores: [mysql]\n", 30,
        "uses store `mysql`, which is not declared"),
    "clash with an exporter": ("port: 8085,", "port: 9100,", 39,
        "port 9100 of deep is taken by node-exporter"),
    "store without database": ("    database: web\n", "", 21, "service back needs `database`"),
    "database without store": ("    stores: []\n", "    stores: []\n    database: web\n", 6,
        "service front needs no database"),
    "collections without database": ("    stores: []\n", "    stores: []\n    collections: [things]\n", 6,
        "service front needs no collections"),
    "database without collections": ("    collections: [things]\n", "", 21,
        "service back needs `collections`"),
    "collection of two": ("collections: [others]", "collections: [others, things]", 45,
        "collection things of deep belongs to back"),
    "keys without store": ("    stores: []\n", "    stores: []\n    keys: [things]\n", 6,
        "service front needs no keys"),
    "store without keys": ("    keys: [deep]\n", "", 34, "service deep needs `keys`"),
    "port clash in a group": ("port: 8085,", "port: 8084,", 39,
        "port 8084 of deep is taken by back in group core"),
    "local port clash": ("local_port: 18085", "local_port: 18084", 39,
        "local_port 18084 of deep is taken by back"),
    "local port clash in a list": ("local_port: 8080", "local_port: 8081", 13,
        "8081 of front is taken by front"),
    "local port clash with a store": ("local_port: 18085", "local_port: 27117", 39, "taken by mongodb"),
    "clash of two stores": ("ports: [6379, 26379], local_port: 16379", "ports: [27017], local_port: 1", 3,
        "taken by mongodb"),
    "wrong type": ("workers: 2\n", "workers: two\n", 14,
        "service front: Expected `int`, got `str` (in `workers`)"),
    "wrong type in a list": ("port: 8080,", "port: high,", 13, "(in `listen[1].port`)"),
    "out of range": ("port: 8080,", "port: 80800,", 13, "Expected `int` <= 65535"),
    "unknown sight": ("workers: 2\n", "workers: 2\n    reads: [everything]\n", 15,
        "Invalid enum value 'everything'"),
    "wrong choice": ("tls: none", "tls: maybe", 13, "Invalid enum value 'maybe'"),
    "unknown carrier": ("tls: none", "tls: none, carrier: mule", 13, "group edge has no carrier `mule`"),
    "carrier of another group": ("tls: none", "tls: none, carrier: far", 13,
        "group edge has no carrier `far`"),
    "carrier and TLS": ("tls: none", "tls: server, carrier: tor", 13, "has `tls: none`"),
    "carrier at the entry": ("tls: server", "tls: none, carrier: tor", 12, "stands behind another one"),
    "clash with a carrier": ("port: 8080,", "port: 9050,", 13, "port 9050 of front is taken by tor"),
    "wrong pattern": ("lucid.web.back:create", "lucid.web.back", 24, "(in `app`)"),
    "list for text": ("memory: 1G\n    cpu: 100\n    stores: []",
        "memory:\n      - 1G\n    cpu: 100\n    stores: []",
        15, "Expected `str`, got `array` (in `memory`)"),
    "text for a list": ("stores: [mongodb]\n", "stores: mongodb\n", 30, "Expected `array`, got `str`"),
    "empty list": ("    listen: [{name: internal, port: 8084, local_port: 18084, tls: mutual}]\n",
        "    listen: []\n",
        26, "Expected `array` of length >= 1"),
    "unknown field": ("    cpu: 100\n    stores: []", "    cpu: 100\n    colour: red\n    stores: []",
        17, "service front: Object contains unknown field `colour`"),
    "unknown field in a list": ("tls: none}", "tls: none, ssl: v3}", 13,
        "unknown field `ssl` (in `listen[1]`)"),
    "missing field": ("    workers: 2\n", "", 6,
        "service front: Object missing required field `workers`"),
    "bad name": ("  back:\n", "  Back:\n", 21, "service Back: Expected `str` matching regex"),
    "duplicate service": ("  back:\n", "  front:\n", 21, "`front` is written twice in services"),
    "duplicate field": ("    workers: 2\n", "    workers: 2\n    workers: 3\n", 15,
        "`workers` is written twice"),
    "duplicate field in a list": ("tls: none}", "tls: none, tls: none}", 13, "`tls` is written twice"),
    "name that is a list": ("  back:\n", "  [back]:\n", 21, "a name in services is not plain text"),
    "unknown group": ("{core: {hosts: several}}", "{kore: {hosts: several}}", 51,
        "group kore is none of edge, core"),
    "group that nobody calls": ("{core: {hosts: several}}", "{edge: {hosts: several}}", 51,
        "group edge: nobody calls its services"),
    "wrong number of hosts": ("{hosts: several}", "{hosts: many}", 51,
        "group core: Invalid enum value 'many'"),
    "missing section": (OBSERVERS, "", 1, "section `observers` is missing"),
    "unknown section": (OBSERVERS, OBSERVERS + "watchers:\n  - a\n", 5,
        "unknown section `watchers`"),
    "section that is a list": ("  mongodb: {group", "  - mongodb: {group", 3, "not YAML"),
    "section without content": (OBSERVERS, "observers:\n", 4,
        "observers must be a mapping"),
    "broken YAML": ("listen: [{name: internal, port: 8085", "listen: [{name: internal, port 8085: [", 39,
        "not YAML"),
    "tab": ("    cpu: 100\n    stores: []", "\tcpu: 100\n    stores: []", 16, "not YAML"),
    "character that YAML forbids": ("memory: 1G\n    cpu: 100\n    stores: []",
        "memory: 1\x00G\n    cpu: 100\n    stores: []", 15, "not YAML"),
    "tag": ("workers: 2\n", "workers: !!python/object:os.system 2\n", 14, "is not what it says it is"),
    "tag that does not fit": ("workers: 2\n", "workers: !!int two\n", 14,
        "`two` is not what it says it is"),
}  # fmt: skip


class TestABadCatalogue:
    @pytest.mark.parametrize("case", BAD)
    def test_is_refused_at_its_line(self, case: str) -> None:
        old, new, line, reason = BAD[case]
        assert GOOD.count(old) >= 1
        with pytest.raises(CatalogError) as caught:
            catalog.parse(GOOD.replace(old, new, 1), "test.yml")
        assert str(caught.value).startswith(f"test.yml:{line}: ")
        assert reason in str(caught.value)
        assert caught.value.line == line

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "the file is empty"),
            ("# nothing\n", "the file is empty"),
            ("- a\n", "the catalogue must be a mapping of names"),
            ("text", "the catalogue must be a mapping of names"),
            (
                "stores:\nobservers: []\nexporters: []\ncarriers: {}\nlisteners: {}\nservices: {}\ngroups:\n",
                "stores must be a mapping of names",
            ),
            ("a: 1\n---\nb: 2\n", "not YAML"),
        ],
    )
    def test_without_content_is_refused(self, text: str, reason: str) -> None:
        with pytest.raises(CatalogError, match=r"^test.yml:[12]: ") as caught:
            catalog.parse(text, "test.yml")
        assert reason in str(caught.value)

    def test_whose_services_call_in_a_circle_is_told_the_way_round(self) -> None:
        text = GOOD.replace("calls: []\nexporters", "calls: [front]\nexporters")
        text = text.replace("      - deep\n", "")
        with pytest.raises(CatalogError) as caught:
            catalog.parse(text, "test.yml")
        way = str(caught.value).partition("circle: ")[2].split(" → ")
        assert way[0] == way[-1]
        assert "front → back → deep → front" in " → ".join(way[:-1] * 2)
        calls = {"front": 18, "back": 30, "deep": 41}
        assert caught.value.line == calls[way[0]]

    def test_in_a_file_is_named_by_its_path(self, tmp_path: Path) -> None:
        path = tmp_path / "other.yml"
        path.write_text(GOOD.replace("workers: 2", "workers: 0"))
        with pytest.raises(CatalogError) as caught:
            catalog.load_file(path)
        assert str(caught.value).startswith(f"{path}:14: service front: Expected `int` >= 1")


class TestAGoodCatalogue:
    def test_is_read_whole(self) -> None:
        made = catalog.parse(GOOD, "test.yml")
        front, deep = made.services["front"], made.services["deep"]
        assert (front.entry.port, front.entry.local_port, front.workers) == (8081, 8081, 2)
        assert (front.mutual, deep.mutual) == (False, True)
        assert made.stores["redis"].ports[0] == 6379
        assert set(made.observers) == {"prometheus"}

    def test_knows_who_calls_whom(self) -> None:
        made = catalog.parse(GOOD, "test.yml")
        assert made.callers_of("deep") == {"front", "back"}
        assert made.callers_of("back") == {"front"}
        assert made.callers_of("front") == frozenset()

    def test_starts_callees_first(self) -> None:
        assert catalog.parse(GOOD, "test.yml").start_order() == ("deep", "back", "front")

    def test_knows_of_which_groups_there_may_be_several_hosts(self) -> None:
        made = catalog.parse(GOOD, "test.yml")
        assert [g for g in catalog.Group if made.may_have_several(g)] == [catalog.Group.CORE]
        one = catalog.parse(GOOD.replace("hosts: several", "hosts: one"), "test.yml")
        assert not one.may_have_several(catalog.Group.CORE)

    def test_may_use_a_port_again_in_another_group(self) -> None:
        text = GOOD.replace("port: 8084,", "port: 8081,", 1)
        assert catalog.parse(text, "test.yml").services["back"].entry.port == 8081


SHIPPED = catalog.load()


class TestTheShippedCatalogue:
    def test_starts_every_service_after_those_that_it_calls(self) -> None:
        order = SHIPPED.start_order()
        assert sorted(order) == sorted(SHIPPED.services)
        for service in SHIPPED.services.values():
            assert all(order.index(callee) < order.index(service.name) for callee in service.calls)

    def test_exposes_only_services_that_the_gateway_may_call(self) -> None:
        assert {s.name for s in SHIPPED.exposed()} <= set(SHIPPED.services["api-gateway"].calls)

    @pytest.mark.parametrize("name", SHIPPED.services)
    def test_names_a_contract_whose_routes_are_the_service_s(self, name: str) -> None:
        contract = import_module(SHIPPED.services[name].contract)
        assert name == contract.SERVICE
        assert contract.ROUTES
        assert {route.service for route in contract.ROUTES} == {name}

    @pytest.mark.parametrize("name", SHIPPED.services)
    def test_names_contracts_with_one_route_for_each_operation(self, name: str) -> None:
        routes = import_module(SHIPPED.services[name].contract).ROUTES
        assert len({(route.method, route.path) for route in routes}) == len(routes)
        for route in routes:
            fields = set(route.params.__struct_fields__)
            assert set(route.path_names) <= fields, route.path
            assert route.params.__struct_config__.forbid_unknown_fields, route.path
        assert openapi.document(name, routes)["paths"]
