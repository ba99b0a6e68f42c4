"""The sandboxes of the services, from inside: what a thief could do who has taken one over.

Each service's own unit, copied with a probe as its program, runs on the service's own host (probes/clone.py).
"""

import re
from typing import Any

import pytest

from lucid import catalog
from lucid.catalog import Service, Sight
from tests.site import probing
from tests.site.reachable import SECONDS, Reach, differences
from tests.site.standing import Site

SERVICES = catalog.load().services
EXPOSURE, EXPOSURE_OF_HELPED = 1.5, 2.5
REFUSED = {"EPERM", "EACCES", "EAFNOSUPPORT", "ENOENT", "EROFS"}
TOOLS = (
    "/bin/sh",
    "/bin/bash",
    "/bin/cat",
    "/bin/cp",
    "/bin/ls",
    "/bin/mount",
    "/bin/systemctl",
    "/usr/bin/apt",
    "/usr/bin/env",
    "/usr/bin/id",
    "/usr/bin/openssl",
    "/usr/bin/perl",
    "/usr/bin/ssh",
    "/usr/bin/sudo",
    "/usr/sbin/iptables",
)
PLACES = (
    "/",
    "/boot",
    "/dev",
    "/dev/shm",  # noqa: S108 - a place to be tried, not to be used
    "/etc",
    "/etc/lucid",
    "/etc/systemd/system",
    "/home",
    "/opt/lucid",
    "/opt/lucid/releases",
    "/root",
    "/run",
    "/run/lock",
    "/run/systemd/system",
    "/sys",
    "/usr/bin",
    "/usr/lib",
    "/var",
    "/var/lib",
    "/var/lib/lucid",
    "/var/log",
    *(f"/var/lib/lucid/{name}" for name in SERVICES),
)


class Inside:
    """What was found inside of each service."""

    def __init__(self, site: Site) -> None:
        self.reach = Reach(site)
        self.host = {service.name: _host(site, service) for service in SERVICES.values()}
        asked: dict[str, Any] = {}
        for name, host in self.host.items():
            places = [(t.address, t.port) for t in self.reach.targets(host)]
            probes = [
                _probe("sandbox", {"tools": TOOLS, "places": PLACES}),
                _probe("reach", {"targets": places, "seconds": SECONDS}),
            ]
            asked.setdefault(host, {"start": probing.START, "units": {}})["units"][
                f"lucid-{name}.service"
            ] = probes
        answers = probing.on_each(site, "clone", asked, seconds=300)
        self.found: dict[str, dict[str, Any]] = {}
        self.reached: dict[str, set[tuple[str, int]]] = {}
        for name, host in self.host.items():
            self.found[name], reached = answers[host][f"lucid-{name}.service"]
            self.reached[name] = {(address, port) for address, port in reached["self"]}


def _host(site: Site, service: Service) -> str:
    return site.described.of_group(service.group)[0].name


def _probe(name: str, asked: dict[str, Any]) -> dict[str, Any]:
    return {"program": probing.source(name), "asked": asked}


@pytest.fixture(scope="module")
def inside(site: Site) -> Inside:
    return Inside(site)


@pytest.mark.parametrize("name", SERVICES)
class TestAServiceMay:
    def test_write_its_state(self, inside: Inside, name: str) -> None:
        assert inside.found[name]["state"] == "done"
        assert f"/var/lib/lucid/{name}" in inside.found[name]["wrote"]

    def test_read_its_credentials_and_its_key(self, inside: Inside, name: str) -> None:
        wanted = {
            *SERVICES[name].credentials,
            *(["redis_password"] if "redis" in SERVICES[name].stores else []),
        }
        # A secret that is being rotated has a second value.
        assert {each.removesuffix("_previous") for each in inside.found[name]["credentials"]} == wanted
        assert f"/etc/lucid/tls/{name}/{name}.key" in inside.found[name]["readable"]

    def test_reach_what_the_catalogue_names_and_nothing_else(self, inside: Inside, name: str) -> None:
        host, user = inside.host[name], SERVICES[name].user
        targets = inside.reach.targets(host)
        reached = {t for t in targets if (t.address, t.port) in inside.reached[name]}
        wrong = differences(inside.reach, host, user, reached)
        assert not wrong, "\n".join(wrong)
        assert reached or not (SERVICES[name].calls or SERVICES[name].stores)


@pytest.mark.parametrize("name", SERVICES)
class TestAServiceMayNot:
    def test_run_anything_that_is_not_its_own(self, inside: Inside, name: str) -> None:
        own = re.compile(r"/opt/lucid/releases/|/usr/lib/|/usr/bin/python3\.\d+$")
        assert len(inside.found[name]["present"]) >= 12
        strange = {path for path in inside.found[name]["executable"] if not own.match(path)}
        assert strange == set()
        assert inside.found[name]["ran"] == []

    def test_smuggle_a_shell_past_that(self, inside: Inside, name: str) -> None:
        open_ways = {way for way, outcome in inside.found[name]["smuggled"].items() if outcome == "done"}
        assert open_ways == set()

    def test_write_anywhere_else(self, inside: Inside, name: str) -> None:
        own = (f"/var/lib/lucid/{name}", f"/run/lucid/{name}")
        allowed = (*own, *SERVICES[name].writes, "/tmp", "/var/tmp")  # noqa: S108 - its own too: PrivateTmp
        assert [path for path in inside.found[name]["writable"] if not path.startswith(allowed)] == []
        assert inside.found[name]["wrote"] == [f"/var/lib/lucid/{name}"]

    def test_read_what_is_private_to_others(self, inside: Inside, name: str) -> None:
        own = (f"/etc/lucid/tls/{name}/", f"/var/lib/lucid/{name}/")
        assert [path for path in inside.found[name]["readable"] if not path.startswith(own)] == []

    def test_make_calls_that_are_not_for_services(self, inside: Inside, name: str) -> None:
        made = {call for call, how in inside.found[name]["calls"].items() if how not in REFUSED}
        assert made == ({"netlink socket"} if Sight.CONNECTIONS in SERVICES[name].reads else set())

    def test_see_figures_of_its_host_unless_the_catalogue_says_so(self, inside: Inside, name: str) -> None:
        outcomes = set(inside.found[name]["figures"].values())
        if Sight.HOST in SERVICES[name].reads:
            assert outcomes == {"done"}
        else:
            assert outcomes <= REFUSED

    def test_change_the_network(self, inside: Inside, name: str) -> None:
        assert inside.found[name]["network"] in REFUSED

    def test_see_other_processes(self, inside: Inside, name: str) -> None:
        assert inside.found[name]["processes"] == {}


def test_systemd_rates_the_exposure_of_every_unit_as_low(site: Site) -> None:
    """From 0 (sealed) to 10 (wide open). One that runs other programs may have a little more, and says so."""
    rated = {host: _rated(site.on(host, "sh", "-c", _RATE).stdout) for host in site.hosts}
    found = {unit for rates in rated.values() for unit in rates}
    assert found >= {f"lucid-{name}.service" for name in SERVICES}
    for host, rates in rated.items():
        for unit, rate in rates.items():
            text = site.on(host, "systemctl", "cat", unit).stdout if rate > EXPOSURE else ""
            limit = EXPOSURE_OF_HELPED if re.search(r"^# It runs \w", text, re.MULTILINE) else EXPOSURE
            assert rate <= limit, f"{unit} on {host}: {rate}"


_RATE = (
    "systemctl list-unit-files --no-legend 'lucid-*.service' | cut -d' ' -f1 | grep -v ^lucid-lab-"
    " | xargs systemd-analyze security --no-pager | grep Overall"
)


def _rated(told: str) -> dict[str, float]:
    return {unit: float(rate) for unit, rate in re.findall(r"level for (\S+): (\d+\.\d+)", told)}
