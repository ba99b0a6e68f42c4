"""An inventory that cannot be deployed is refused with host, variable and fix."""

from pathlib import Path
from typing import Any

import pytest

from lucid import catalog
from lucid.deploy import checks, filters, flows, plan, site
from lucid.deploy.errors import SiteError
from tests.deploy.sites import HOSTS, made

LAB = Path(__file__).parents[2] / "inventories" / "lab"


def problems(**how: Any) -> str:
    return "\n".join(checks.problems(catalog.load(), made(**how)))


class TestAGoodSite:
    def test_has_no_problems(self) -> None:
        assert problems() == ""

    def test_is_what_the_lab_s_inventory_says(self) -> None:
        pytest.importorskip("ansible", reason="requirements/deploy.txt is not installed")
        found = site.read(LAB)
        assert {h.name: (sorted(h.groups), str(h.address)) for h in found.hosts} == {
            name: ([group], address) for name, (group, address) in HOSTS.items()
        }
        assert not checks.problems(catalog.load(), found)


class TestSeveralHosts:
    def test_may_be_in_group_rdp_each_with_certificates_and_services_of_its_own(self) -> None:
        two = made()
        assert checks.problems(catalog.load(), two) == ()
        for host in ("rdp1", "rdp2"):
            assert "session-recorder" in [u.name for u in plan.units(catalog.load(), two, two.named(host))]
            (cert,) = (
                c for c in plan.certificates(catalog.load(), two.named(host)) if c.name == "session-recorder"
            )
            assert cert.dns == ("session-recorder.lucid.internal", "localhost")

    @pytest.mark.parametrize("group", ["core", "sessions"])
    def test_may_be_in_no_other_group_whose_services_are_called(self, group: str) -> None:
        assert f"group {group}: " in problems(groups={"mon1": group})
        assert "its services are called at one address; keep one host in it" in problems(
            groups={"mon1": group}
        )


EVERYWHERE = {"lucid_services": ["api-gateway", "auth-service"], "lucid_public_ports": {"api-gateway": 8000}}


class TestASmallerSite:
    """The gateway and what it cannot do without, at a port of its own."""

    SMALL = made(dict.fromkeys(HOSTS, EVERYWHERE))
    CATALOG = SMALL.adapted(catalog.load())

    def test_runs_what_it_names_and_nothing_else(self) -> None:
        units = {
            unit.name for host in self.SMALL.hosts for unit in plan.units(self.CATALOG, self.SMALL, host)
        }
        assert units == {"api-gateway", "auth-service"}
        assert "lucid-blockchain-engine" not in plan.users(self.CATALOG, self.SMALL.named("core1"))

    def test_tells_its_services_so(self) -> None:
        (gateway,) = plan.units(self.CATALOG, self.SMALL, self.SMALL.named("edge1"))
        assert gateway.environment["LUCID_SERVICES"] == "api-gateway,auth-service"
        assert gateway.environment["LUCID_PUBLIC_PORTS"] == "api-gateway:8000"
        assert gateway.sockets[0].address == "[::]:8000"

    def test_opens_its_own_port_to_people(self) -> None:
        found = flows.flows(self.CATALOG, self.SMALL)
        assert {(f.destination, f.port) for f in found if f.source == flows.ANYBODY} == {("edge1", 8000)}
        assert not [f for f in found if "sess1" in {f.source, f.destination} and f.why.endswith("mongodb")]

    def test_needs_no_hosts_for_what_it_leaves_out(self) -> None:
        kept = {
            name: (group, address)
            for name, (group, address) in HOSTS.items()
            if group not in {"sessions", "rdp"}
        }
        groups = {group: [n for n in kept if kept[n][0] == group] for group, _ in kept.values()}
        variables = {
            name: {"lucid_address": address, "firewall_control": ["::1"]} | EVERYWHERE
            for name, (_, address) in kept.items()
        }
        small = site.parse(groups, variables)
        assert checks.problems(small.adapted(catalog.load()), small) == ()

    def test_measures_only_what_is_there(self) -> None:
        raw: dict[str, Any] = {"stores": {}}
        raw["services"] = {
            name: {"listen": [{"port": item.port} for item in catalog.load().services[name].listen]}
            for name in ("api-gateway", "session-api")
        }
        groups = {group: [name] for name, (group, _) in HOSTS.items() if name not in {"data2", "data3"}}
        hosts = {
            n: {"lucid_address": HOSTS[n][1]} | EVERYWHERE for members in groups.values() for n in members
        }
        gateway = {"listen": [{"port": 8000}, {"port": 8080}, {"port": 8079}]}
        assert filters.present(raw, groups, hosts) == {"services": {"api-gateway": gateway}, "stores": {}}

    @pytest.mark.parametrize(
        ("everywhere", "words"),
        [
            (
                {"lucid_services": ["api-gateway"]},
                "lucid_services: api-gateway cannot do without auth-service",
            ),
            ({"lucid_services": ["nothing"]}, "lucid_services: `nothing` is none of the services"),
            ({"lucid_services": "api-gateway"}, "lucid_services: Expected `array`"),
            ({"lucid_public_ports": {"auth-service": 1}}, "lucid_public_ports: auth-service has no socket"),
            ({"lucid_public_ports": {"api-gateway": "x"}}, "lucid_public_ports: Expected `int`"),
        ],
    )
    def test_that_makes_no_sense_is_refused(self, everywhere: dict[str, Any], words: str) -> None:
        with pytest.raises(SiteError) as caught:
            made(dict.fromkeys(HOSTS, everywhere)).adapted(catalog.load())
        assert words in str(caught.value)

    def test_is_the_same_for_every_host(self) -> None:
        with pytest.raises(SiteError, match=r"lucid_services is not that of core1; set it in group_vars/all"):
            made({"edge1": EVERYWHERE})


class TestABadSite:
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"core1": {"lucid_address": ""}}, "host core1: lucid_address is missing"),
            ({"core1": {"lucid_address": "core1"}}, "host core1: lucid_address is 'core1', which is no IPv4"),
            ({"core1": {"lucid_address6": "172.20.0.1"}}, "lucid_address6 is '172.20.0.1', which is no IPv6"),
            ({"core1": {"lucid_address": "172.20.0.11"}}, "172.20.0.11 is the address of core1 too"),
            ({"core1": {"firewall_control": ["here"]}}, "host core1: firewall_control: "),
            ({"core1": {"firewall_outbound": [{"why": "x"}]}}, "firewall_outbound: Object missing"),
        ],
    )  # fmt: skip
    def test_is_refused(self, changes: dict[str, dict[str, Any]], words: str) -> None:
        with pytest.raises(SiteError) as caught:
            made(changes)
        assert words in str(caught.value)

    def test_with_a_group_that_is_none_of_ours_is_refused(self) -> None:
        with pytest.raises(SiteError, match="group web is none of Lucid's"):
            made(groups={"core1": "web"})

    def test_with_an_even_replica_set_has_a_problem(self) -> None:
        assert "group data: 4 hosts; a replica set needs an odd number" in problems(groups={"mon1": "data"})

    def test_whose_tron_host_is_on_the_core_segment_has_a_problem(self) -> None:
        found = problems(changes={"tron1": {"lucid_address": "172.20.0.99"}})
        assert "host tron1: lucid_address 172.20.0.99 is on the segment of core1" in found

    def test_that_would_lock_its_operator_out_has_a_problem(self) -> None:
        assert "host mon1: firewall_control is empty" in problems(changes={"mon1": {"firewall_control": []}})

    def test_without_a_group_has_a_problem(self) -> None:
        assert "group rdp: it has no host" in problems(groups={"rdp1": "support", "rdp2": "support"})

    def test_with_clashing_groups_on_one_host_has_a_problem(self) -> None:
        variables = {name: {"lucid_address": address, "firewall_control": ["::1"]}
                     for name, (_, address) in HOSTS.items() if name != "core1"}  # fmt: skip
        groups: dict[str, list[str]] = {"core": ["sess1"]}
        for name, (group, _) in HOSTS.items():
            if name != "core1":
                groups.setdefault(group, []).append(name)
        found = "\n".join(checks.problems(catalog.load(), site.parse(groups, variables)))
        assert (
            "host sess1: chunk-processor and session-anchoring both want port 8085; give each group" in found
        )
        assert "or set lucid_ports: local" in found
