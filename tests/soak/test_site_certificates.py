"""What people see at a site: the certificate of an authority beside the control host, or a supplied one.

For the time of these tests the edge host shows another certificate; afterwards it is as it was.
"""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from lab.run import within
from lucid.dev.processes import Processes
from lucid.kit import authority
from tests.acme.pebble import Pebble
from tests.site.standing import GATEWAY_PORT, INVENTORY, Site, changes

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        not shutil.which("pebble"), reason="pebble is missing: `scripts/setup test` installs it"
    ),
]
NAME = "desktops.example.org"
LAYERS = ("preflight", "base", "firewall", "public_certificate", "services")
UNITS = ("lucid-acme.service", "lucid-public-certificate.service")
SHOWN = """
import socket, ssl, sys
host, port, name, trusted = sys.argv[1:]
with socket.create_connection((host, int(port)), 10) as plain:
    with ssl.create_default_context(cafile=trusted).wrap_socket(plain, server_hostname=name) as connection:
        connection.sendall(f"GET /api/v1/meta/info HTTP/1.1\\r\\nHost: {name}\\r\\n\\r\\n".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        print(connection.getpeercert()["serialNumber"])
"""


@dataclass
class Edge:
    """The edge host, and what the inventory says of it for now."""

    site: Site
    overlay: Path
    variables: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.site.lab.inventory.find("edge")[0].name

    def play(self) -> dict[str, int]:
        """Brings the host to what the inventory says; returns changes by host."""
        host = {"edge": {"hosts": {self.name: self.variables}}}
        self.overlay.write_text(yaml.safe_dump({"all": {"children": host}}))
        playbooks = [f"playbooks/{layer}.yml" for layer in LAYERS]
        inventories = ("-i", INVENTORY, "-i", str(self.overlay))
        command = ("ansible-playbook", *inventories, "--limit", f"{self.name},localhost", *playbooks)
        return changes(self.site.control(*command, seconds=900).stdout)

    def shown(self, trusted: Path, name: str = NAME) -> str:
        """Serial number of what a visitor sees who believes `trusted`, and has got an answer."""
        address = str(self.site.lab.inventory.find("edge")[0].management.ip)
        asked = (address, str(GATEWAY_PORT), name, str(trusted))
        return self.site.control(sys.executable, "-c", SHOWN, *asked).stdout.strip()

    def ask(self) -> None:
        """Asks the authority, as the timer does."""
        self.site.on(self.name, "systemctl", "start", UNITS[0], seconds=120)


@pytest.fixture(scope="module")
def edge(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    made = Edge(site, tmp_path_factory.mktemp("edge") / "hosts.yml")
    yield made
    made.variables = {}
    made.play()


@pytest.fixture(scope="module")
def pebble(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    lab, directory = site.lab.inventory, tmp_path_factory.mktemp("pebble")
    with Processes() as processes:
        yield Pebble(
            processes,
            directory,
            address=str(lab.control.ip),
            within=within(site.lab.netns("control")),
            asked=(str(lab.find("edge")[0].management.ip), 80),
        )


@pytest.fixture(scope="module")
def issued(edge: Edge, pebble: Pebble) -> Edge:
    """The edge host with a certificate from the authority."""
    edge.variables = {
        "lucid_public_certificate": {
            "source": "acme",
            "names": [NAME],
            "server": pebble.server,
            "authority": pebble.ca.read_text(),
            "reaches": [f"{edge.site.lab.inventory.control.ip}/32"],
        }
    }
    edge.play()
    return edge


class TestByAcme:
    def test_people_see_what_the_authority_issued(self, issued: Edge, pebble: Pebble) -> None:
        assert issued.shown(pebble.root)

    def test_a_second_run_changes_nothing(self, issued: Edge) -> None:
        assert set(issued.play().values()) == {0}

    def test_it_is_renewed_and_shown_without_a_restart(self, issued: Edge, pebble: Pebble) -> None:
        site, before = issued.site, issued.shown(pebble.root)
        started = (
            "systemctl",
            "show",
            "--value",
            "--property=ExecMainStartTimestampMonotonic",
            "lucid-api-gateway",
        )
        since = site.on(issued.name, *started).stdout
        issued.ask()
        assert issued.shown(pebble.root) == before  # it is not due
        due = r"s/^.*renew_before_expiry = .*$/renew_before_expiry = 100 days/"
        site.on(issued.name, "sh", "-c", f"sed -i '{due}' /var/lib/lucid/acme/renewal/*.conf")
        issued.ask()
        site.wait("the new one shown", lambda: issued.shown(pebble.root) != before, 60)
        assert site.on(issued.name, *started).stdout == since

    def test_what_fails_leaves_the_one_before(self, issued: Edge, pebble: Pebble) -> None:
        site, before = issued.site, issued.shown(pebble.root)
        pebble.process.stop()
        done = site.on(issued.name, "systemctl", "start", UNITS[0], seconds=120, check=False)
        assert done.returncode != 0
        assert issued.shown(pebble.root) == before
        site.on(issued.name, "systemctl", "reset-failed", UNITS[0])

    def test_its_units_are_sandboxed(self, issued: Edge) -> None:
        for unit in UNITS:
            said = issued.site.on(issued.name, "systemd-analyze", "security", "--no-pager", unit).stdout
            assert float(said.rpartition(": ")[2].split()[0]) <= 1.5, said[-200:]


def test_a_supplied_one_is_shown_and_its_key_is_in_no_output(edge: Edge, tmp_path: Path) -> None:
    signer = authority.new_authority("A public authority", timedelta(days=30))
    key = ec.generate_private_key(ec.SECP256R1())
    called = authority.names([NAME], [])
    cert = authority.issue(signer, key.public_key(), authority.subject(NAME), called, timedelta(days=20))
    private = authority.private_pem(key).decode()
    edge.variables = {
        "lucid_public_certificate": {"source": "supplied", "names": [NAME]},
        "public_certificate_chain": cert.public_bytes(Encoding.PEM).decode(),
        "public_certificate_key": private,
    }
    assert edge.play()[edge.name] > 0
    trusted = tmp_path / "authority.pem"
    trusted.write_bytes(authority.pem(signer)[0])
    assert int(edge.shown(trusted), 16) == cert.serial_number
    journal = edge.site.on(edge.name, "journalctl", "--no-pager", "--boot").stdout
    assert private.splitlines()[1] not in journal
