"""`lucid services` shows the catalogue."""

import json

from lucid import catalog
from tests.cli.command import invoke


def test_the_table_names_every_service_with_both_its_ports() -> None:
    shown = invoke("services").stdout
    for service in catalog.load().services.values():
        assert service.name in shown
        assert f"{service.entry.port}/{service.entry.local_port}" in shown


def test_json_is_the_whole_catalogue() -> None:
    found = json.loads(invoke("services", "--json").stdout)
    services = catalog.load().services
    assert [entry["name"] for entry in found] == list(services)
    assert all(entry["calls"] == list(services[entry["name"]].calls) for entry in found)
