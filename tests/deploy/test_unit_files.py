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


def capture() -> str:
    """The unit file of captures."""
    environment = Environment(  # noqa: S701 - this is no HTML
        loader=FileSystemLoader(ROLE.parent / "xrdp/templates"), undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("etc/systemd/system/lucid-capture@.service.j2").render(
        ansible_managed="",
        ansible_facts={"python": {"version": {"minor": 11}}, "architecture": "x86_64"},
        xrdp_capture_memory_max="1G",
        xrdp_capture_cpu_quota=200,
        _xrdp_release="/opt/lucid/current",
        _xrdp_slots="/run/lucid-rdp",
    )


def test_each_capture_has_a_user_of_its_own() -> None:
    """Without a name of its own for each instance, all of them would be one user."""
    text = capture()
    assert values(text, "DynamicUser") == ["yes"]
    (name,) = values(text, "User")
    longest = name.replace("%i", "999999999-4194304-65534")  # connection, process id, user id
    assert re.fullmatch(r"[a-z][a-z0-9-]{0,30}", longest)
    assert values(text, "PrivateNetwork") == ["yes"]
    assert values(text, "SupplementaryGroups") == []


@pytest.mark.parametrize("name", ["resource-monitor", "capture@"])
def test_what_sees_more_is_rated_by_systemd_as_hardly_exposed(tmp_path: Path, name: str) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / f"lucid-{name}.service"
    unit.write_text(capture() if name == "capture@" else rendered(name))
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    rate = re.search(r"level for \S+: (\d+\.\d+)", told.stdout)
    assert rate, told.stdout + told.stderr
    assert float(rate[1]) <= EXPOSURE
