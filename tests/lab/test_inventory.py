"""The lab's hosts come from the inventory, and what cannot be built is refused by name."""

from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path

import pytest
import yaml

from lab import inventory
from lab.errors import LabError
from lab.place import INVENTORIES, INVENTORY, here


def written(tmp_path: Path, **changes: str | None) -> Path:
    """An inventory of one host, core1, with variables changed or, where None, left out."""
    variables = {"ansible_host": "10.3.0.5", "lucid_address": "10.1.0.5", "lucid_address6": "fd01::5"}
    kept = {name: value for name, value in (variables | changes).items() if value is not None}
    segment = {"network": "10.1.0.0/24", "network6": "fd01::/64", "router": "10.1.0.1", "router6": "fd01::1"}
    shared = {
        "lucid_segments": {"core": segment},
        "lucid_management": {"network": "10.3.0.0/24", "control": "10.3.0.1"},
    }
    path = tmp_path / "hosts.yml"
    path.write_text(
        yaml.safe_dump({"all": {"vars": shared, "children": {"core": {"hosts": {"core1": kept}}}}})
    )
    return path


class TestTheLabsInventory:
    def test_every_host_stands_on_the_segment_of_its_addresses(self) -> None:
        found = inventory.load(INVENTORY)
        assert [host.name for host in found.hosts.values() if "rdp" in host.groups] == ["rdp1", "rdp2"]
        assert {host.name for host in found.hosts.values() if host.segment == "tron"} == {"tron1"}

    def test_addresses_carry_the_length_of_their_network(self, tmp_path: Path) -> None:
        host = inventory.load(written(tmp_path)).hosts["core1"]
        assert host.address == IPv4Interface("10.1.0.5/24")
        assert host.address6 == IPv6Interface("fd01::5/64")
        assert host.management == IPv4Interface("10.3.0.5/24")

    def test_a_group_means_its_hosts_each_once(self) -> None:
        found = inventory.load(INVENTORY).find("data2,data,core1")
        assert [host.name for host in found] == ["data2", "data1", "data3", "core1"]

    def test_an_unknown_name_is_refused_with_those_there_are(self) -> None:
        with pytest.raises(LabError, match=r"nosuch is neither a host nor a group .* edge1, core1"):
            inventory.load(INVENTORY).find("core1,nosuch")


class TestOtherInventories:
    def test_one_host_may_be_in_all_groups(self) -> None:
        (host,) = inventory.load(INVENTORIES / "single" / "hosts.yml").hosts.values()
        assert set(host.groups) == {"edge", "core", "sessions", "rdp", "data", "support"}

    def test_are_chosen_by_name_and_stay_what_the_lab_was_brought_up_from(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LUCID_LAB_STATE", str(tmp_path))
        monkeypatch.delenv("LUCID_LAB_INVENTORY", raising=False)
        assert here().inventory.name == "lab"
        assert here("single").inventory.name == "single"
        here("single").noted.write_text("single")
        assert here().inventory.name == "single"
        monkeypatch.setenv("LUCID_LAB_INVENTORY", "lab")
        assert here().inventory.name == "lab"

    def test_that_are_none_of_the_labs_are_refused(self) -> None:
        with pytest.raises(LabError, match=r"inventories/production/hosts\.yml: all\.vars and all\.children"):
            here("production")
        for name in ("nosuch", "../lab"):
            with pytest.raises(LabError, match=name):
                here(name)


class TestAnInventoryAtFault:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"lucid_address6": None}, "core1 has no 'lucid_address6'"),
            (
                {"lucid_address": "10.9.0.5"},
                "lucid_address and lucid_address6 are on no segment",
            ),
            ({"ansible_host": "10.1.0.5"}, "core1: ansible_host is not on lucid_management"),
            ({"lucid_address": "10.1.0.500"}, "core1: Octet 500"),
        ],
    )
    def test_is_refused_with_the_host_and_the_variable(
        self, tmp_path: Path, changes: dict[str, str | None], message: str
    ) -> None:
        with pytest.raises(LabError, match=message):
            inventory.load(written(tmp_path, **changes))

    def test_a_host_may_not_take_the_routers_name(self, tmp_path: Path) -> None:
        path = written(tmp_path)
        path.write_text(path.read_text().replace("core1:", "router:"))
        with pytest.raises(LabError, match="router: a host of the lab has letters and digits"):
            inventory.load(path)

    def test_a_file_without_hosts_says_what_it_lacks(self, tmp_path: Path) -> None:
        path = tmp_path / "hosts.yml"
        path.write_text("all: {vars: {}}\n")
        with pytest.raises(LabError, match="must name 'lucid_management'"):
            inventory.load(path)
