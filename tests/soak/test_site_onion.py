"""The onion service of a deployed site, in a private Tor network beside the control host.

For the time of these tests the edge host carries people through Tor; afterwards it is as it was.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import yaml

from lab.run import within
from lucid.contracts.api_gateway import PREFIX as API
from lucid.dev.processes import Processes
from tests.deployment import free_ports
from tests.site import probing
from tests.site.reachable import LOOPBACK, SECONDS
from tests.site.standing import INVENTORY, Site, changes
from tests.tor.network import Network

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not shutil.which("tor"), reason="tor is missing: `scripts/setup test` installs it"),
]
LAYERS = ("base", "firewall", "services", "tor")
UNITS = ("tor@default.service", "lucid-tor-status.service")
ASK = """
import sys
from tests.tor import socks
port, host, path = sys.argv[1:]
connection = socks.connect(int(port), host, 80, "anna")
status, answer = socks.ask(connection, host, "GET", path)
connection.close()
print(status, answer.decode())
"""


@dataclass
class Onion:
    """The edge host with Tor, and where a visitor begins."""

    site: Site
    edge: str
    inventories: tuple[str, ...]
    socks: int

    def play(self) -> dict[str, int]:
        """Brings the edge host to what the inventories say; returns changes by host."""
        playbooks = [f"playbooks/{layer}.yml" for layer in LAYERS]
        command = ("ansible-playbook", *self.inventories, "--limit", f"{self.edge},localhost", *playbooks)
        return changes(self.site.control(*command, seconds=600).stdout)

    def health(self) -> str:
        """How the gateway is, as it tells its own host."""
        answer = self.site.on(self.edge, "curl", "--silent", "http://127.0.0.1:8080/health").stdout
        return str(json.loads(answer)["dependencies"].get("tor", {}).get("status"))

    def asked(self, path: str) -> tuple[int, str]:
        """What a visitor gets by the onion address: status and body; 0 if the service is not found."""
        address = self.site.on(self.edge, "cat", "/var/lib/tor/lucid/hostname").stdout.strip()
        command = (sys.executable, "-c", ASK, str(self.socks), address, path)
        done = self.site.control(*command, check=False)
        status, _, body = (done.stdout or "0 ").partition(" ")
        return int(status), body


@pytest.fixture(scope="module")
def onion(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Onion]:
    control, directory = str(site.lab.inventory.control.ip), tmp_path_factory.mktemp("tor")
    edge = site.lab.inventory.find("edge")[0].name
    (port,) = free_ports(1)
    with Processes() as processes:
        network = Network(processes, directory, control, within(site.lab.netns("control")))
        network.start()
        own = ["ClientOnly 1", f"SocksPort 127.0.0.1:{port}", f"DataDirectory {network.data('visitor')}"]
        network.join("visitor", own)
        carries = {"lucid_carriers": {"tor": [f"{control}/32"]}, "tor_network_options": network.options}
        overlay = directory / "hosts.yml"
        overlay.write_text(yaml.safe_dump({"all": {"children": {"edge": {"hosts": {edge: carries}}}}}))
        made = Onion(site, edge, ("-i", INVENTORY, "-i", str(overlay)), port)
        try:
            made.play()
            yield made
        finally:
            site.on(edge, "systemctl", "disable", "--now", "tor.service", *UNITS, check=False)
            made.inventories = made.inventories[:2]
            made.play()


def test_people_reach_the_api_by_its_address_and_nothing_that_is_the_operators(onion: Onion) -> None:
    onion.site.wait("reached", lambda: onion.asked(f"{API}/meta/info")[0] == 200, 120)
    assert json.loads(onion.asked(f"{API}/meta/info")[1])["name"] == "Lucid"
    assert onion.asked("/metrics")[0] == 404


def test_the_gateway_knows_how_tor_is(onion: Onion) -> None:
    onion.site.wait("tor up", lambda: onion.health() == "up", 60)
    onion.site.on(onion.edge, "systemctl", "stop", "tor@default.service")
    try:
        onion.site.wait("tor down", lambda: onion.health() == "down", 30)
    finally:
        onion.site.on(onion.edge, "systemctl", "start", "tor@default.service")
    onion.site.wait("tor up again", lambda: onion.health() == "up", 60)


def test_a_second_run_changes_nothing(onion: Onion) -> None:
    assert set(onion.play().values()) == {0}


def test_only_tor_reaches_the_socket_that_is_for_it_and_tor_nothing_else(onion: Onion) -> None:
    ports = {flow.port for flow in onion.site.flows()} | {8079, 9050, 9051}
    here = [str(each) for each in onion.site.described.named(onion.edge).addresses]
    others = [str(each) for host in onion.site.described.hosts for each in host.addresses]
    targets = [(address, port) for address in {*others, *LOOPBACK} for port in ports]
    users = ["debian-tor", "lucid-api-gateway", "prometheus", "nobody"]
    asked = {"users": users, "targets": targets, "seconds": SECONDS}
    found = probing.on(onion.site, onion.edge, "reach", asked)
    own = {(address, port) for address in (*here, *LOOPBACK) for port in (8079, 9050, 9051)}
    assert {tuple(each) for each in found["debian-tor"]} == own
    for user in users[1:]:
        assert not own & {tuple(each) for each in found[user]}, user


def test_its_units_are_sandboxed(onion: Onion) -> None:
    for unit in UNITS:
        said = onion.site.on(onion.edge, "systemd-analyze", "security", "--no-pager", unit).stdout
        assert float(said.rpartition(": ")[2].split()[0]) <= 1.5, said[-200:]
