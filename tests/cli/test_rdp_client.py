"""FreeRDP as `lucid rdp open` starts it: it believes one certificate, and gets the password by its input."""

import hashlib
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from lucid.cli import rdp_client
from lucid.contracts.rdp_manager import Connection, RdpSession
from lucid.dev import ca
from lucid.rdp import rdp_file
from lucid.sessions.xauthority import write_cookie
from tests.sessions.screens import StartScreen, screens

SESSION = "018f2b6e-7c1d-4b3a-9e52-0c4d8a6f1b27"
PASSWORD = "abcd-efgh-ijkl-mnop"
NEGOTIATED = bytes.fromhex("0300 0013 0e d0 0000 1234 00 02 00 0800 01000000")
"""X.224 connection confirm that chooses TLS (MS-RDPBCGR 2.2.1.2)."""


class Listener:
    """Speaks RDP as far as the client's first message inside TLS."""

    def __init__(self, directory: Path) -> None:
        ca.ensure(directory, ["xrdp"])
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(directory / "xrdp.crt", directory / "xrdp.key")
        certificate = x509.load_pem_x509_certificate((directory / "xrdp.crt").read_bytes())
        self.sha256 = hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.first = b""
        """What the client said first inside TLS."""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listens no more."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                (length,) = struct.unpack(">H", connection.recv(4)[2:])
                connection.recv(length - 4)
                connection.sendall(NEGOTIATED)
                try:
                    with self._tls.wrap_socket(connection, server_side=True) as encrypted:
                        self.first = encrypted.recv(4096)
                except OSError:
                    continue


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    made = Listener(tmp_path)
    yield made
    made.close()


@pytest.fixture
def start_screen(tmp_path: Path) -> Iterator[StartScreen]:
    """Starts X servers."""
    with screens(tmp_path) as starter:
        yield starter


@pytest.fixture
def program(start_screen: StartScreen, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The client that `lucid rdp open` would start on a display of its own, with an empty home."""
    screen = start_screen("800x600")
    write_cookie(tmp_path / "cookie", screen.number, screen.cookie)
    for name, value in {"DISPLAY": f":{screen.number}", "XAUTHORITY": str(tmp_path / "cookie")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    found = rdp_client.find()
    assert found, "no FreeRDP here; scripts/setup test installs it"
    return found


def connection(port: int, sha256: str, *allowed: str, address: str = "127.0.0.1") -> Connection:
    session = RdpSession(
        id=SESSION, name="", owner=SESSION, host="rdp1", port=port, state="ready", policy=SESSION,
        trust_sha256="0" * 64, width=640, height=480, created_ms=0, ended_ms=None, ending=None, detail=None,
        client=None,
    )  # fmt: skip
    file = rdp_file.render(
        address=address, port=port, user="lucid", width=640, height=480, allowed=allowed
    )  # fmt: skip
    return Connection(
        session=session, address=address, port=port, user="lucid", password=PASSWORD,
        expires_ms=0, certificate_sha256=sha256, rdp_file=file,
    )  # fmt: skip


class TestTheClient:
    def test_goes_on_where_the_certificate_is_the_one_that_was_told(
        self, program: str, listener: Listener
    ) -> None:
        rdp_client.show(program, connection(listener.port, listener.sha256))
        assert listener.first.startswith(b"\x03\x00")
        assert b"\x7f\x65" in listener.first[:12]

    def test_says_nothing_to_a_host_with_another_certificate(self, program: str, listener: Listener) -> None:
        code = rdp_client.show(program, connection(listener.port, "0" * 64))
        assert (code != 0, listener.first) == (True, b"")

    def test_needs_a_display(self) -> None:
        assert rdp_client.find({}) is None


class TestTheCommandLine:
    def test_has_no_password_in_it(self) -> None:
        assert not any(PASSWORD in each for each in rdp_client.command("xfreerdp", connection(1, "0" * 64)))

    @pytest.mark.parametrize(
        ("allowed", "expected"),
        [
            ((), {"-clipboard", "/audio-mode:2"}),
            (("clipboard.to_desktop",), {"+clipboard", "/audio-mode:2"}),
        ],
    )
    def test_turns_on_what_the_policy_allows(self, allowed: tuple[str, ...], expected: set[str]) -> None:
        argv = rdp_client.command("xfreerdp", connection(1, "0" * 64, *allowed))
        assert {"-clipboard", "+clipboard", "/audio-mode:2"} & set(argv) == expected

    def test_brackets_addresses_of_ipv6(self) -> None:
        argv = rdp_client.command("xfreerdp", connection(13389, "0" * 64, address="2001:db8::1"))
        assert "/v:[2001:db8::1]:13389" in argv
