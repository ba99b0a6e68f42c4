"""Certificates from a real ACME authority, by the role's settings and unit, shown by a real gateway."""

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pytest
from cryptography import x509

from lucid import catalog
from lucid.dev import ca
from lucid.dev.processes import Process, Processes
from lucid.kit.client import variable
from tests.acme.host import Edge
from tests.acme.pebble import DAYS, HOST, Pebble
from tests.deployment import free_ports
from tests.kit.worker_process import PASS_SOCKETS

pytestmark = pytest.mark.skipif(
    not (shutil.which("certbot") and shutil.which("pebble")),
    reason="certbot or pebble is missing: `scripts/setup test` installs them",
)
NAME, SECOND = "desktops.example.org", "recordings.example.org"
GATEWAY = catalog.load().services["api-gateway"]
SERVE = ("-m", "lucid", "serve", GATEWAY.name)
SECONDS = 30


class Gateway:
    """A running api-gateway that shows a certificate for people, its sockets held as by systemd."""

    def __init__(self, processes: Processes, directory: Path, public: Path) -> None:
        self._held = ExitStack()
        sockets = [self._held.enter_context(socket.create_server((HOST, 0))) for _ in GATEWAY.listen]
        self._port: int = sockets[0].getsockname()[1]
        numbers = [each.fileno() for each in sockets]
        ca.ensure(directory / "tls", [GATEWAY.name])
        told = self._held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        told.bind(str(directory / "notify"))
        told.settimeout(SECONDS)
        self._process: Process = processes.start(
            GATEWAY.name,
            [sys.executable, "-c", PASS_SOCKETS, ",".join(map(str, numbers)), *SERVE],
            directory / "log",
            env={
                "PATH": os.environ["PATH"],
                "STATE_DIRECTORY": str(directory / "state"),
                "TLS_DIRECTORY": str(directory / "tls"),
                "TLS_PUBLIC_FILE": str(public),
                "CREDENTIALS_DIRECTORY": str(directory),
                "REDIS_URL": f"redis://{HOST}:1/0",
                **{variable(callee): f"https://{HOST}:1" for callee in GATEWAY.calls},
                "NOTIFY_SOCKET": str(directory / "notify"),
                "LISTEN_FDS": str(len(numbers)),
                "LISTEN_FDNAMES": ":".join(each.name for each in GATEWAY.listen),
            },
            pass_fds=numbers,
        )
        # Before it is ready systemd reloads nothing.
        while b"READY=1" not in told.recv(4096).splitlines():
            pass

    def answer(self, root: Path, name: str = NAME) -> int:
        """The serial number that it shows to one who believes `root`; it has answered a request, too."""
        context = ssl.create_default_context(cafile=root)
        with (
            socket.create_connection((HOST, self._port), SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=name) as connection,
        ):
            connection.sendall(f"GET /api/v1/meta/info HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 "), self._process.last_words()
            shown = connection.getpeercert(binary_form=True)
        assert shown is not None
        return x509.load_der_x509_certificate(shown).serial_number

    def reload(self) -> None:
        """As systemctl does."""
        os.kill(self._process.pid, signal.SIGHUP)

    def said(self) -> str:
        return self._process.log.read_text()

    def stop(self) -> None:
        self._process.stop()
        self._held.close()


class Visitors:
    """People who come all the while, each on a connection of their own."""

    def __init__(self, gateway: Gateway, root: Path) -> None:
        self.seen: list[int] = []
        self.failed: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._come, args=(gateway, root))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(SECONDS)

    def _come(self, gateway: Gateway, root: Path) -> None:
        while not self._over.is_set():
            try:
                self.seen.append(gateway.answer(root))
            except (OSError, AssertionError) as error:
                self.failed.append(repr(error))
            self._over.wait(0.02)

    def see(self, serial: int) -> None:
        """Waits until they see this certificate and no other any more."""
        until = time.monotonic() + SECONDS
        while self.seen[-6:] != [serial] * 6:
            assert time.monotonic() < until, (serial, self.seen[-6:], self.failed)
            time.sleep(0.05)


@pytest.fixture(scope="module")
def running() -> Iterator[Processes]:
    with Processes() as processes:
        yield processes


@pytest.fixture(scope="module")
def pebble(running: Processes, tmp_path_factory: pytest.TempPathFactory) -> Pebble:
    return Pebble(running, tmp_path_factory.mktemp("pebble"))


@pytest.fixture(scope="module")
def edge(pebble: Pebble, tmp_path_factory: pytest.TempPathFactory) -> Edge:
    """A host that has got its first certificate. Tests leave it with one for NAME that is not due."""
    made = Edge(tmp_path_factory.mktemp("edge"))
    made.write([NAME], pebble.server, pebble.ca, pebble.http_port)
    status, said = made.start()
    assert status == 0, said
    return made


@pytest.fixture(scope="module")
def gateway(running: Processes, edge: Edge, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    started = Gateway(running, tmp_path_factory.mktemp("gateway"), edge.file)
    yield started
    started.stop()


def serial(edge: Edge) -> int:
    return x509.load_pem_x509_certificate(edge.file.read_bytes()).serial_number


def names(edge: Edge) -> set[str]:
    found = x509.load_pem_x509_certificate(edge.file.read_bytes())
    return set(
        found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
            x509.DNSName
        )
    )


class TestTheFirst:
    def test_is_believed_by_whom_believes_the_authority(
        self, edge: Edge, pebble: Pebble, gateway: Gateway
    ) -> None:
        assert gateway.answer(pebble.root) == serial(edge)

    def test_leaves_its_key_to_the_directory_s_group_alone_and_the_rest_to_everybody(
        self, edge: Edge
    ) -> None:
        assert {path.name: oct(path.stat().st_mode & 0o777) for path in edge.shown.iterdir()} == {
            "public.pem": "0o640",
            "public.crt": "0o644",
        }
        assert b"PRIVATE KEY" not in (edge.shown / "public.crt").read_bytes()

    def test_stays_as_long_as_nothing_is_to_be_done(self, edge: Edge) -> None:
        before = edge.file.stat()
        status, said = edge.start()
        assert status == 0, said
        assert "not yet due for renewal" in said
        assert f"{edge.shown} has it already" in said
        assert edge.file.stat() == before


class TestARenewal:
    def test_is_shown_to_everybody_who_comes_and_nobody_is_turned_away(
        self, edge: Edge, pebble: Pebble, gateway: Gateway
    ) -> None:
        old = serial(edge)
        edge.renew_before(DAYS + 1)
        try:
            with Visitors(gateway, pebble.root) as visitors:
                status, said = edge.start()
                assert status == 0, said
                new = serial(edge)
                assert new != old
                gateway.reload()
                visitors.see(new)
        finally:
            edge.renew_before(30)
        assert not visitors.failed
        assert set(visitors.seen) == {old, new}

    def test_comes_at_once_with_another_name(self, edge: Edge, pebble: Pebble, gateway: Gateway) -> None:
        edge.write([NAME, SECOND], pebble.server, pebble.ca, pebble.http_port)
        status, said = edge.start()
        assert status == 0, said
        assert names(edge) == {NAME, SECOND}
        with Visitors(gateway, pebble.root) as visitors:
            gateway.reload()
            visitors.see(serial(edge))
        assert gateway.answer(pebble.root, SECOND) == serial(edge)


class TestWithoutSuccess:
    """The certificate before stays, is shown, and the unit fails with what was wrong."""

    def test_when_the_authority_is_away(self, edge: Edge, pebble: Pebble, gateway: Gateway) -> None:
        (nobody,) = free_ports(1)
        self.attempt(
            edge, pebble, gateway, f"https://localhost:{nobody}/dir", pebble.ca, "Connection refused"
        )

    def test_when_somebody_else_poses_as_the_authority(
        self, edge: Edge, pebble: Pebble, gateway: Gateway
    ) -> None:
        self.attempt(edge, pebble, gateway, pebble.server, pebble.root, "certificate verify failed")

    def test_when_the_authority_does_not_reach_this_host(
        self, edge: Edge, pebble: Pebble, gateway: Gateway
    ) -> None:
        (elsewhere,) = free_ports(1)
        self.attempt(
            edge, pebble, gateway, pebble.server, pebble.ca, "Some challenges have failed", elsewhere
        )

    @staticmethod
    def attempt(
        edge: Edge, pebble: Pebble, gateway: Gateway, server: str, authority: Path, words: str, port: int = 0
    ) -> None:
        before = edge.file.read_bytes()
        edge.write([NAME, SECOND, "third.example.org"], server, authority, port or pebble.http_port)
        status, said = edge.start()
        assert status == 1
        assert words in said
        assert edge.file.read_bytes() == before
        assert gateway.answer(pebble.root) == serial(edge)


class TestAPairThatDoesNotFit:
    def test_is_not_put_in_the_place_of_one_that_does(self, edge: Edge, tmp_path: Path) -> None:
        issued = ca.ensure(tmp_path / "ca", ["one", "other"])
        shutil.copy(issued["one"].cert, tmp_path / "fullchain.pem")
        shutil.copy(issued["other"].key, tmp_path / "privkey.pem")
        before = edge.file.read_bytes()
        done = subprocess.run(
            [edge.root / "libexec/lucid-public-certificate", tmp_path, edge.shown],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 1
        assert done.stderr.startswith(f"{edge.shown} stays as it was: {tmp_path} holds no certificate")
        assert "KEY_VALUES_MISMATCH" in done.stderr
        assert edge.file.read_bytes() == before
        assert {path.name for path in edge.shown.iterdir()} == {"public.pem", "public.crt"}

    def test_does_not_end_a_gateway_that_is_told_of_it(
        self, edge: Edge, pebble: Pebble, gateway: Gateway
    ) -> None:
        good, shown = edge.file.read_bytes(), gateway.answer(pebble.root)
        edge.file.write_bytes(good[: len(good) // 3])
        try:
            gateway.reload()
            until = time.monotonic() + SECONDS
            while "reload failed" not in gateway.said():
                assert time.monotonic() < until, gateway.said()
                time.sleep(0.05)
            assert gateway.answer(pebble.root) == shown
        finally:
            edge.file.write_bytes(good)
