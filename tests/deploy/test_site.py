"""An inventory that cannot be deployed is refused with host, variable and fix."""

from pathlib import Path
from typing import Any

import pytest

from lucid import catalog
from lucid.deploy import checks, site
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
        assert "group rdp: it has no host" in problems(groups={"rdp1": "support"})

    def test_with_clashing_groups_on_one_host_has_a_problem(self) -> None:
        variables = {name: {"lucid_address": address, "firewall_control": ["::1"]}
                     for name, (_, address) in HOSTS.items() if name != "core1"}  # fmt: skip
        groups: dict[str, list[str]] = {"core": ["sess1"]}
        for name, (group, _) in HOSTS.items():
            if name != "core1":
                groups.setdefault(group, []).append(name)
        found = "\n".join(checks.problems(catalog.load(), site.parse(groups, variables)))
        assert "host sess1: chunk-processor and session-anchoring both want port 8085" in found
