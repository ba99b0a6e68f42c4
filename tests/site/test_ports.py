"""The packet filters of the deployed site, as its users meet them: every host, user, address and port.

One walk tries everything: each unix user of each host, against every port that anything on the site listens
on or that the catalogue names, at each address of each host, IPv4 and IPv6, on both segments and the
management network.
"""

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.run import run
from lucid.deploy.flows import SSH
from tests.site import probing
from tests.site.reachable import SECONDS, Reach, Target, differences
from tests.site.standing import GATEWAY_PORT, Site

DROPS = "/var/log/ulog/lucid-drop.log"
BURST, PER_MINUTE, LIMITS = 20, 12, 4  # lucid.deploy.rules, for each of two chains and IP versions


class Walk:
    """What was tried and what was reached."""

    def __init__(self, site: Site) -> None:
        listening = probing.on_each(site, "listening", dict.fromkeys(site.hosts))
        self.listening = {host: set(ports) for host, ports in listening.items()}
        self.reach = Reach(site, set().union(*self.listening.values()))
        asked = {
            host: {
                "users": self.reach.users(host),
                "targets": [(target.address, target.port) for target in self.reach.targets(host)],
                "seconds": SECONDS,
            }
            for host in site.hosts
        }
        logged, begun = _logged(site), time.monotonic()
        answers = probing.on_each(site, "reach", asked)
        self.minutes = (time.monotonic() - begun) / 60
        self.logged = {host: count - logged[host] for host, count in _logged(site).items()}
        self.reached: dict[tuple[str, str], set[Target]] = {}
        self.tried = 0
        for host, by_user in answers.items():
            at = {(target.address, target.port): target for target in self.reach.targets(host)}
            for user, found in by_user.items():
                self.tried += len(at)
                self.reached[host, user] = {at[address, port] for address, port in found}

    def between(self) -> Iterator[tuple[str, str, Target]]:
        """All that was reached on another host: from where, by whom, what."""
        for (source, user), found in self.reached.items():
            yield from ((source, user, target) for target in found if target.host != source)


def _logged(site: Site) -> dict[str, int]:
    return {host: int(site.on(host, "wc", "-l", DROPS).stdout.split()[0]) for host in site.hosts}


@pytest.fixture(scope="module")
def walk(site: Site) -> Walk:
    return Walk(site)


def test_every_user_of_every_host_reaches_what_the_catalogue_says_and_nothing_else(walk: Walk) -> None:
    wrong = [
        line
        for (source, user), reached in walk.reached.items()
        for line in differences(walk.reach, source, user, reached)
    ]
    print(f"{walk.tried} connections tried, {sum(map(len, walk.reached.values()))} of them answered")  # noqa: T201 - shown with -s
    assert not wrong, "\n".join([f"{len(wrong)} connections are not as the catalogue says:", *wrong[:60]])
    assert walk.tried > 10_000
    assert all(set(walk.reach.ports) >= ports for ports in walk.listening.values())


def test_the_walk_tells_an_open_port_from_a_dropped_packet(walk: Walk) -> None:
    targets = {target.port for target in walk.reached["core1", "lucid-auth-service"]}
    assert targets == {27017}
    assert not walk.reached["core1", "nobody"]


def test_to_the_tron_host_only_its_measurements_are_open(walk: Walk) -> None:
    into = {(source, user, target.port) for source, user, target in walk.between() if target.host == "tron1"}
    assert into == {("mon1", "prometheus", 9100)}


def test_from_the_tron_host_only_what_the_inventory_declares_is_open(site: Site, walk: Walk) -> None:
    out = {(user, t.host, t.port) for source, user, t in walk.between() if source == "tron1"}
    declared = site.described.named("tron1").outbound
    assert out == {(user, "control", each.port) for each in declared for user in each.users}


def test_the_control_host_reaches_ssh_everywhere_and_the_gateway(site: Site, walk: Walk) -> None:
    names = {address: host for host, address in walk.reach.management.items()}
    asked = {"users": ["root"], "targets": [(a, p) for a in names for p in walk.reach.ports]}
    found = probing.beside(site, "control", "reach", asked | {"seconds": SECONDS})["root"]
    assert {(names[address], port) for address, port in found} == walk.reach.doors(administration=True)


@pytest.fixture
def stranger(site: Site) -> Iterator[str]:
    """A machine on the core segment that is no host of the site: the name of its network namespace."""
    segment, name, port = site.lab.inventory.segments["core"], site.lab.netns("stranger"), "core-stranger"
    switch = site.lab.netns("switch")
    run("ip", "netns", "add", name)
    try:
        run("ip", "-n", name, "link", "add", "core0", "type", "veth", "peer", "name", port, "netns", switch)
        for network in (segment.router.network, segment.router6.network):
            address = f"{network[250]}/{network.prefixlen}"
            nodad = ["nodad"] if network.version == 6 else []
            run("ip", "-n", name, "address", "add", address, "dev", "core0", *nodad)
        run("ip", "-n", name, "link", "set", "core0", "up")
        run("ip", "-n", switch, "link", "set", port, "master", segment.name, "up")
        for router in (segment.router.ip, segment.router6.ip):
            run("ip", "-n", name, "route", "add", "default", "via", str(router))
        yield "stranger"
    finally:
        run("ip", "-n", switch, "link", "delete", port)
        run("ip", "netns", "delete", name)


def test_a_stranger_on_a_segment_reaches_the_gateway_only(site: Site, walk: Walk, stranger: str) -> None:
    names = {address: host for host, found in walk.reach.segments.items() for address in found}
    asked = {"users": ["root"], "targets": [(a, p) for a in names for p in walk.reach.ports]}
    found = probing.beside(site, stranger, "reach", asked | {"seconds": SECONDS})["root"]
    assert {(names[address], port) for address, port in found} == walk.reach.doors(administration=False)
    assert len(found) == 2, "by IPv4 and by IPv6"


def test_of_all_65535_ports_of_an_rdp_host_without_sessions_only_ssh_answers(
    site: Site, stranger: str
) -> None:
    """From the control host; to a stranger on its segment none does, RDP ports included."""
    rdp, edge = site.lab.inventory.find("rdp"), site.lab.inventory.find("edge")[0]
    for host in rdp:
        units = ("systemctl", "list-units", "--all", "--no-legend", "lucid-xrdp@*", "lucid-desktop@*")
        assert site.on(host.name, *units).stdout == "", "there is a session"
    wanted = {("control", str(host.management.ip)): [SSH] for host in rdp}
    wanted |= {(stranger, str(each.ip)): [] for host in rdp for each in (host.address, host.address6)}
    wanted |= {(stranger, str(each.ip)): [GATEWAY_PORT] for each in (edge.address, edge.address6)}
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda each: probing.beside(site, each[0], "scan", each[1]), wanted)
    assert dict(zip(wanted, found, strict=True)) == {
        place: {"open": ports, "refused": []} for place, ports in wanted.items()
    }


def test_what_is_dropped_is_logged_at_a_bounded_rate(site: Site, walk: Walk) -> None:
    most = LIMITS * (BURST + PER_MINUTE * (walk.minutes + 1))
    assert all(0 < lines <= most for lines in walk.logged.values()), walk.logged
    line = site.on("core1", "tail", "-n", "1", DROPS).stdout
    assert re.search(r"lucid drop (in|out) .*SRC=\S+ DST=\S+ .*PROTO=\w+", line), line
