"""Unit files of services, as the role renders them: how each is kept from its host."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lucid import catalog
from lucid.deploy import plan
from tests.deploy.sites import made

ROLE = Path(__file__).parents[2] / "roles/lucid_service"
FILTERS: dict[str, Callable[..., str]] = {
    "basename": lambda path: PurePosixPath(path).name,
    "regex_replace": lambda text, pattern, new: re.sub(pattern, new, text),
}
"""Ansible's own, as far as the template uses them."""
CATALOG = catalog.load()
UNITS = {unit.name: unit for host in made().hosts for unit in plan.units(CATALOG, made(), host)}
EXPOSURE = 1.5


def rendered(name: str) -> str:
    """The unit file of a service."""
    environment = Environment(  # noqa: S701 - this is no HTML
        loader=FileSystemLoader(ROLE / "templates"), undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= FILTERS
    template = environment.get_template("etc/systemd/system/lucid-service.service.j2")
    return template.render(
        item=UNITS[name],
        ansible_managed="",
        ansible_facts={"python": {"version": {"minor": 11}}},
        lucid_service_root="/opt/lucid",
        lucid_service_credentials={},
        lucid_service_networks=["172.20.0.0/16"],
        _lucid_service_current="/opt/lucid/current",
        _lucid_service_multiarch="x86_64-linux-gnu",
    )


def values(text: str, setting: str) -> list[str]:
    """What a unit file gives to a setting, in order."""
    return re.findall(rf"(?m)^{setting}=(.*)$", text)


@pytest.mark.parametrize("name", UNITS)
def test_a_service_sees_of_its_host_what_the_catalogue_says(name: str) -> None:
    text, reads = rendered(name), CATALOG.services[name].reads
    host = catalog.Sight.HOST in reads
    assert values(text, "ProcSubset") == ["all" if host else "pid"]
    assert values(text, "ProtectProc") == ["invisible"]
    assert any("/proc/sys" in paths for paths in values(text, "InaccessiblePaths")) == host
    families = {"AF_INET", "AF_INET6", "AF_UNIX"}
    families |= {"AF_NETLINK"} if catalog.Sight.CONNECTIONS in reads else set()
    assert [set(each.split()) for each in values(text, "RestrictAddressFamilies")] == [families]
    assert values(text, "CapabilityBoundingSet") == [""]


def test_what_sees_more_is_rated_by_systemd_as_hardly_exposed(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "lucid-resource-monitor.service"
    unit.write_text(rendered("resource-monitor"))
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    rate = re.search(r"level for \S+: (\d+\.\d+)", told.stdout)
    assert rate, told.stdout + told.stderr
    assert float(rate[1]) <= EXPOSURE
