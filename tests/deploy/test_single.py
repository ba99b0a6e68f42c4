"""One host in all groups: all listen at local ports, and whoever is told of a port is told of these."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from lucid import catalog
from lucid.cli.ready import as_set
from lucid.deploy import checks, filters, flows, plan, rules, site
from lucid.deploy.errors import SiteError
from lucid.kit.client import variable
from tests.deploy.sites import HOSTS, made

ROOT = Path(__file__).parents[2]
SHIPPED = catalog.shipped()
GROUPS = {group.value: ["one"] for group in catalog.Group if group is not catalog.Group.TRON}
VARIABLES: dict[str, Any] = {
    "lucid_address": "172.20.0.11",
    "lucid_address6": "fd20::11",
    "firewall_control": ["172.22.0.1/32"],
    "lucid_ports": "local",
}
SITE = site.parse(GROUPS, {"one": VARIABLES})
CATALOG = SITE.adapted(SHIPPED)
(HOST,) = SITE.hosts
UNITS = {unit.name: unit for unit in plan.units(CATALOG, SITE, HOST)}
LOCAL = {name: service.entry.local_port for name, service in SHIPPED.services.items()}


class TestTheSite:
    def test_can_be_deployed(self) -> None:
        assert checks.problems(CATALOG, SITE) == ()

    def test_is_what_the_inventory_says(self) -> None:
        pytest.importorskip("ansible", reason="requirements/deploy.txt is not installed")
        found = site.read(ROOT / "inventories/single")
        (host,) = found.hosts
        assert host.groups == HOST.groups
        assert checks.problems(found.adapted(SHIPPED), found) == ()

    def test_cannot_be_deployed_at_the_ports_of_hosts(self) -> None:
        found = site.parse(GROUPS, {"one": VARIABLES | {"lucid_ports": "hosts"}})
        problems = "\n".join(checks.problems(found.adapted(SHIPPED), found))
        assert "host one: chunk-processor and session-anchoring both want port 8085;" in problems
        assert "or set lucid_ports: local" in problems

    def test_may_bring_people_through_tor_too(self) -> None:
        found = site.parse(GROUPS, {"one": VARIABLES | {"lucid_carriers": {"tor": ["0.0.0.0/0"]}}})
        assert checks.problems(found.adapted(SHIPPED), found) == ()

    def test_has_no_port_that_another_program_of_the_host_wants(self) -> None:
        public = {"lucid_public_ports": {"api-gateway": SHIPPED.exporters["node-exporter"].port}}
        found = site.parse(GROUPS, {"one": VARIABLES | public})
        (problem,) = checks.problems(found.adapted(SHIPPED), found)
        assert (
            problem == "host one: node-exporter and api-gateway both want port 9100; give each group its host"
        )

    def test_keeps_the_ports_of_sessions_free(self) -> None:
        (listener,) = SHIPPED.listeners.values()
        public = {"lucid_public_ports": {"api-gateway": listener.ports[1]}}
        found = site.parse(GROUPS, {"one": VARIABLES | public})
        (problem,) = checks.problems(found.adapted(SHIPPED), found)
        assert problem.endswith(
            f" and api-gateway both want port {listener.ports[1]}; give each group its host"
        )

    def test_may_not_have_an_even_number_of_data_hosts(self) -> None:
        two = {**GROUPS, "data": ["one", "two"]}
        found = site.parse(
            two, {"one": VARIABLES, "two": VARIABLES | {"lucid_address": "172.20.0.12", "lucid_address6": ""}}
        )
        assert "group data: 2 hosts" in "\n".join(checks.problems(found.adapted(SHIPPED), found))

    def test_has_ports_of_one_column_only(self) -> None:
        with pytest.raises(SiteError, match="lucid_ports: `some` is neither hosts nor local"):
            made({name: {"lucid_ports": "some"} for name in HOSTS}).adapted(SHIPPED)
        with pytest.raises(SiteError, match=r"lucid_ports is not that of core1; set it in group_vars/all"):
            made({"edge1": {"lucid_ports": "local"}})


class TestEverybodyIsTold:
    def test_units_and_their_callers(self) -> None:
        assert set(UNITS) == set(SHIPPED.services)
        addresses = [socket.address for unit in UNITS.values() for socket in unit.sockets]
        assert len(addresses) == len(set(addresses))
        for name, unit in UNITS.items():
            assert unit.sockets[0].address.rpartition(":")[2] == str(LOCAL[name])
            assert unit.environment["LUCID_PORTS"] == "local"
            for callee in SHIPPED.services[name].calls:
                assert unit.environment[variable(callee)].endswith(f"://172.20.0.11:{LOCAL[callee]}")

    def test_services_themselves(self, tmp_path: Path) -> None:
        for name, unit in UNITS.items():
            lines = [f"{key}={value}\n" for key, value in unit.environment.items()]
            (tmp_path / f"{name}.env").write_text("".join(lines))
            assert as_set(name, tmp_path).entry.port == catalog.load().services[name].entry.local_port
            assert as_set(name, tmp_path / "none") == catalog.load().services[name]

    def test_the_firewall(self) -> None:
        found = flows.flows(CATALOG, SITE)
        calls = {(flow.user, flow.port) for flow in found if " calls " in flow.why}
        assert calls == {
            (service.user, LOCAL[callee]) for service in SHIPPED.services.values() for callee in service.calls
        }
        assert {flow.port for flow in found if flow.source == flows.ANYBODY} == {8081}

    def test_nobody_on_the_host_but_the_callers(self) -> None:
        text = rules.render(HOST, SITE, flows.flows(CATALOG, SITE), 4)
        user = SHIPPED.services["auth-proxy"].user
        mine = [line for line in text.splitlines() if f"--uid-owner {user} " in line]
        ports = {line.split("--dport ")[1].split()[0] for line in mine}
        assert ports == {str(LOCAL["auth-service"]), "6379", "26379"}
        assert "--dport 8089 " not in text

    def test_prometheus_and_the_exporters(self) -> None:
        raw = yaml.safe_load((ROOT / "lucid/catalog.yml").read_text())
        found = filters.present(raw, GROUPS, {"one": VARIABLES})["services"]
        for name, service in SHIPPED.services.items():
            assert [item["port"] for item in found[name]["listen"]] == [i.local_port for i in service.listen]

    def test_that_the_databases_have_one_member(self) -> None:
        assert UNITS["session-pipeline"].environment["MONGODB_URL"].startswith("mongodb://one:27017/?")
        assert UNITS["session-pipeline"].environment["REDIS_URL"] == "sentinel://one:26379/lucid/0"
