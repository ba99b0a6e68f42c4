"""A slot's directory: what is in it, for whom, what is left of it; what the firewall's program believes."""

import importlib.util
import ipaddress
import os
import socket
import stat
from contextlib import closing
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

from lucid.contracts.xrdp import Admission, Desktop
from lucid.rdp import slot_directory
from lucid.rdp.slot_directory import Directory, Kept
from tests.rdp.policies import USABLE, policy, signed

PORT = 13400
SESSION = "0b5f9d52-9d37-4b53-8d2e-0c0f4f6c8a11"
DESKTOP = Desktop(session=SESSION, trust=signed(input=USABLE), width=1280, height=720)
PROGRAM = Path(__file__).parents[2] / "roles/xrdp/files/usr/libexec/lucid/rdp-admission"


@pytest.fixture
def made(tmp_path: Path) -> Directory:
    (tmp_path / "slots").mkdir()
    (tmp_path / "slots").chmod(0o2750)
    directory = Directory(tmp_path / "slots", PORT)
    directory.make(DESKTOP, policy(input=USABLE), "ab" * 16)
    return directory


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_the_agents_alone_and_sockets_anybodys_to_make(made: Directory) -> None:
    assert mode(made.path) == 0o2750
    assert {each.name: mode(each) for each in made.path.iterdir()} == {
        "slot.json": 0o600,
        "desktop": 0o2755,
        "xrdp.ini": 0o644,
        "xorg.conf": 0o644,
        "sesman.ini": 0o644,
        "x11": 0o3777,
        "sockets": 0o3777,
    }
    assert {each.name for each in (made.path / "desktop").iterdir()} == {"cookie", "settings"}
    assert made.cookie() == "ab" * 16


def test_what_is_kept_is_read_again(made: Directory, tmp_path: Path) -> None:
    kept = Kept(desktop=DESKTOP, logged_in_ms=7)
    made.keep(kept)
    assert slot_directory.in_use(tmp_path / "slots") == [PORT]
    assert Directory(tmp_path / "slots", PORT).read() == kept
    assert Directory(tmp_path / "slots", PORT + 1).read() is None


def test_nothing_is_left_not_even_sockets(made: Directory, tmp_path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(made.display_socket))
        made.remove()
    made.remove()  # once more is no error
    assert list((tmp_path / "slots").iterdir()) == []


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    loader = SourceFileLoader("rdp_admission", str(PROGRAM))
    spec = importlib.util.spec_from_loader("rdp_admission", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    monkeypatch.setattr(module, "SLOTS", str(tmp_path / "slots"))
    return module


@pytest.mark.parametrize("client", ["192.0.2.7", "2001:db8::7"])
def test_the_firewalls_program_reads_what_the_agent_writes(
    made: Directory, program: ModuleType, client: str
) -> None:
    made.admit(Admission(client=client, password_sha256="0" * 64, seconds=120))
    assert program.admitted(PORT) == (ipaddress.ip_address(client), 120)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "192.0.2.7",
        "192.0.2.7 0",
        "192.0.2.7 3601",
        "192.0.2.7 -1",
        "192.0.2.0/24 60",
        "x 60",
        "192.0.2.7 60 60",
    ],
)
def test_it_believes_nothing_else(made: Directory, program: ModuleType, text: str) -> None:
    (made.path / "admission").write_text(text)
    with pytest.raises(ValueError):  # noqa: PT011 - which of its checks refuses does not matter
        program.admitted(PORT)


def test_it_follows_no_link_and_waits_for_no_pipe(made: Directory, program: ModuleType) -> None:
    (made.path / "admission").symlink_to("/etc/hostname")
    with pytest.raises(OSError, match="symbolic links"):
        program.admitted(PORT)
    (made.path / "admission").unlink()
    os.mkfifo(made.path / "admission")
    with pytest.raises(ValueError, match="no file"):
        program.admitted(PORT)


@pytest.mark.parametrize("arguments", [("add", "22"), ("add", "14390"), ("flush", "13400"), ("add", "x")])
def test_it_acts_on_slots_alone(program: ModuleType, arguments: tuple[str, str]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - as above
        program.main(*arguments)


def test_the_certificate_is_left_in_the_slot_and_through_no_link(
    made: Directory, program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shown.crt").write_bytes(b"a certificate")
    monkeypatch.setattr(program, "CERTIFICATE", str(tmp_path / "shown.crt"))
    (tmp_path / "roots").write_bytes(b"root's own")
    (made.path / "rdp.crt").symlink_to(tmp_path / "roots")
    before = os.umask(0o077)
    try:
        program.publish(PORT)
        program.publish(PORT)
    finally:
        os.umask(before)
    assert made.certificate() == b"a certificate"
    assert mode(made.path / "rdp.crt") == 0o644
    assert (tmp_path / "roots").read_bytes() == b"root's own"
    (tmp_path / "slots" / str(PORT + 1)).symlink_to(tmp_path)
    with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
        program.publish(PORT + 1)
