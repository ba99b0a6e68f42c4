"""The onion service before the real gateway, in a private Tor network: found, used, told apart, closed."""

import json
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from lucid import catalog
from lucid.contracts.api_gateway import PREFIX as API
from lucid.dev import operator
from lucid.dev.processes import Process, Processes
from lucid.gateway import onion
from lucid.kit.errors import Unavailable
from tests.cli.command import RunningStack
from tests.deployment import free_ports
from tests.kit.worker_process import service as sample
from tests.tor import socks
from tests.tor.network import Network
from tests.tor.service import STATUS, Client, torrc, write_key

pytestmark = [
    pytest.mark.stack,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not shutil.which("tor"), reason="tor is missing: `scripts/setup test` installs it"),
]
T = TypeVar("T")
WELL_KNOWN, SECOND = 80, 81
"""Ports of the service: behind one is the gateway, behind the other a program that says what it sees."""


@dataclass(frozen=True)
class Place:
    """The service, and where its visitors begin."""

    address: str
    tor: Process
    anna: int
    """SOCKS port of the one who is let in."""
    stranger: int
    behind: int
    """Where connections to SECOND are brought."""
    control: int
    data: Path

    def reached(self, port: int = WELL_KNOWN, person: str = "anna") -> socket.socket:
        """A connection to the service, as soon as it can be found."""
        return soon(lambda: socks.connect(self.anna, self.address, port, person))

    def asked(self, method: str, path: str, **request: Any) -> tuple[int, bytes]:
        """One request to the service on a connection of its own; on another if its circuit breaks."""

        def ask() -> tuple[int, bytes]:
            with closing(self.reached()) as connection:
                return socks.ask(connection, self.address, method, path, **request)

        return soon(ask)


def soon(attempt: Callable[[], T], seconds: float = 120) -> T:
    """What `attempt` gives once the network lets it."""
    until = time.monotonic() + seconds
    while True:
        try:
            return attempt()
        except (socks.Refused, OSError):
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A private network, about 750 MiB; it ends with these tests."""
    with Processes() as processes:
        started = Network(processes, tmp_path_factory.mktemp("tor"))
        started.start()
        yield started


@pytest.fixture(scope="module")
def session(network: Network, stack: RunningStack) -> str:
    """A recording, made while the authorities agree: who joins the network afterwards need not wait."""
    command = ("record", "--seconds", "3", "--fps", "10", "--size", "320x240", "--json", "--", "xclock")
    answer = stack.lucid(*command, seconds=100)
    assert answer.returncode == 0, answer.stderr
    return str(json.loads(answer.stdout)["session"]["id"])


@pytest.fixture(scope="module")
def place(network: Network, session: str) -> Place:
    data, client = network.data("service"), Client.made()
    address = write_key(data)
    client.let_in(data)
    client.keep(network.data("anna") / "keys-of-onions", address)
    own, control, behind, anna, stranger = free_ports(5)
    gateway = catalog.load().services["api-gateway"].listen
    lines = torrc(
        data,
        tor_onion_target=f"127.0.0.1:{next(each.local_port for each in gateway if each.carrier)}",
        tor_socks_port=own,
        tor_control_port=control,
        tor_network_options=[f"HiddenServicePort {SECOND} 127.0.0.1:{behind}"],
    )
    tor = network.join("service", lines)
    for name, port in (("anna", anna), ("stranger", stranger)):
        keys = network.data(name) / "keys-of-onions"
        keys.mkdir(mode=0o700, exist_ok=True)
        network.join(
            name,
            [
                f"DataDirectory {network.data(name)}",
                f"SocksPort 127.0.0.1:{port} ExtendedErrors",
                f"ClientOnionAuthDir {keys}",
            ],
        )
    return Place(address, tor, anna, stranger, behind, control, data)


def test_somebody_logs_in_and_downloads_evidence_by_the_onion_address(
    place: Place, stack: RunningStack, session: str, tmp_path: Path
) -> None:
    account = operator.load(stack.state.operator.read_bytes())
    login = json.dumps({"email": account.email, "password": account.password})
    head = {"Content-Type": "application/json"}
    with closing(place.reached()) as kept:
        status, answer = socks.ask(kept, place.address, "POST", f"{API}/auth/login", body=login, headers=head)
        assert status == 200, answer
        token = {"Authorization": "Bearer " + json.loads(answer)["access_token"]}
        path = f"{API}/sessions/{session}/bundle"
        status, evidence = socks.ask(kept, place.address, "GET", path, headers=token)
    assert status == 200, evidence
    (tmp_path / "bundle").write_bytes(evidence)
    assert stack.lucid("trust", "-o", str(tmp_path / "trust")).returncode == 0
    proved = stack.lucid("verify", str(tmp_path / "bundle"), "--trust", str(tmp_path / "trust"))
    assert proved.returncode == 0, proved.stdout


def test_the_address_follows_from_the_seed_and_nobody_needs_to_list_it(
    place: Place, stack: RunningStack
) -> None:
    assert (place.data / "lucid/hostname").read_text().strip() == place.address
    assert place.asked("GET", f"{API}/meta/info")[0] == 200


@pytest.mark.parametrize("path", ["/metrics", "/openapi.json"])
def test_what_is_the_operators_is_not_there(place: Place, stack: RunningStack, path: str) -> None:
    assert place.asked("GET", path)[0] == 404


async def test_circuits_are_told_apart(place: Place, tmp_path: Path) -> None:
    listener = {"name": "onion", "port": place.behind, "carried": True}
    async with sample(tmp_path, listener) as running:
        await running.hears("READY=1")
        seen = {}
        for person in ("anna", "bert"):
            with closing(place.reached(SECOND, person)) as kept:
                answers = [json.loads(socks.ask(kept, place.address, "GET", "/")[1]) for _ in range(2)]
            assert answers[0]["circuit"] == answers[1]["circuit"]
            seen[person] = answers[0]
        assert seen["anna"]["circuit"] != seen["bert"]["circuit"]
        assert seen["anna"]["remote"] != seen["bert"]["remote"]
        assert all(told["circuit"].startswith("circuit:") for told in seen.values())


def test_who_has_no_key_is_not_let_in(place: Place) -> None:
    place.reached().close()  # it is there for those who have one
    until = time.monotonic() + 60
    while True:
        with pytest.raises((socks.Refused, OSError)) as caught:
            socks.connect(place.stranger, place.address, WELL_KNOWN, "stranger")
        if isinstance(caught.value, socks.Refused) and caught.value.reply == socks.NO_KEY:
            break
        assert time.monotonic() < until, caught.value
        time.sleep(0.5)


def test_how_tor_is_can_be_read_by_whom_tor_does_not_obey(place: Place, tmp_path: Path) -> None:
    """The last one: it ends the service."""
    file = tmp_path / "status.json"
    cookie = place.data / "control.authcookie"
    arguments = ["--port", str(place.control), "--cookie", str(cookie), "--file", str(file), "--every", "0.2"]
    with Processes() as processes:
        running = processes.start("status", [sys.executable, str(STATUS), *arguments], tmp_path / "log")
        _wait(running, file, lambda status: status.circuits)
        onion.judge(onion.read(file), time.time())
        place.tor.stop()
        _wait(running, file, lambda status: "refused" in status.error)
        with pytest.raises(Unavailable, match=r"Tor cannot be asked: .*refused"):
            onion.judge(onion.read(file), time.time())


def _wait(running: Process, file: Path, condition: Callable[[onion.Status], bool]) -> None:
    until = time.monotonic() + 30
    while not (file.exists() and condition(onion.read(file))):
        assert running.status is None, running.last_words()
        assert time.monotonic() < until, file.read_text()
        time.sleep(0.1)
