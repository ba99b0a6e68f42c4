"""The directories of the slots: what a session's units read, and where its sockets are.

Everything of a session on its host's file system is below its slot's directory, or below its units' private
directories for temporary files, which systemd removes with them. Files are written whole (rename); nothing
here outlives a reboot.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path

import msgspec

from lucid.contracts.types import Milliseconds
from lucid.contracts.xrdp import FIRST_PORT, LAST_PORT, X11_DIRECTORY, Admission, Desktop, display_number
from lucid.evidence.policy import TrustPolicy
from lucid.rdp import xrdp_config

_OWN, _FOR_UNITS = 0o600, 0o644
"""The units' users read theirs as themselves: what they may not read, no link can show them."""
_DIRECTORY, _DESKTOP = 0o750, 0o755
_SOCKETS = 0o1777
"""Anybody may make a socket; its maker and the directory's owner may remove it."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent must know of a slot after its own restart."""

    desktop: Desktop
    admission: Admission | None = None
    """Who may still log in."""
    admitted_ms: Milliseconds | None = None
    logged_in_ms: Milliseconds | None = None


class Directory:
    """One slot's directory."""

    def __init__(self, root: Path, port: int) -> None:
        self.path = root / str(port)
        self._port = port

    @property
    def display_socket(self) -> Path:
        """Where the X server listens."""
        return self.path / X11_DIRECTORY / f"X{display_number(self._port)}"

    @property
    def desktop_socket(self) -> Path:
        """Where xorgxrdp waits for a listener."""
        return self.path / "sockets" / f"xrdp_display_{display_number(self._port)}"

    def read(self) -> Kept | None:
        """What was kept; None where nothing was. Raises msgspec.MsgspecError."""
        try:
            return msgspec.json.decode((self.path / "slot.json").read_bytes(), type=Kept)
        except FileNotFoundError:
            return None

    def cookie(self) -> str:
        """The display's cookie. Raises OSError."""
        return (self.path / "desktop" / "cookie").read_text().strip()

    def certificate(self) -> bytes:
        """What the listener shows, PEM, as the firewall's program has left it here. Raises OSError."""
        return (self.path / "rdp.crt").read_bytes()

    def keep(self, kept: Kept) -> None:
        """Replaces what is kept. Raises OSError."""
        self._write("slot.json", msgspec.json.encode(kept), _OWN)

    def make(self, desktop: Desktop, policy: TrustPolicy, cookie: str) -> None:
        """All that the units read. Raises OSError."""
        _make(self.path, _DIRECTORY)
        for name in (X11_DIRECTORY, "sockets"):
            _make(self.path / name, _SOCKETS)
        port = self._port
        settings = xrdp_config.desktop_settings(port, policy, desktop.width, desktop.height)
        _make(self.path / "desktop", _DESKTOP)
        self._write("desktop/cookie", cookie.encode() + b"\n", _FOR_UNITS)
        self._write("desktop/settings", settings.encode(), _FOR_UNITS)
        self._write("xorg.conf", xrdp_config.xorg_conf(policy).encode(), _FOR_UNITS)
        self._write("sesman.ini", xrdp_config.sesman_ini(policy).encode(), _FOR_UNITS)
        self._write("xrdp.ini", xrdp_config.xrdp_ini(port, policy).encode(), _FOR_UNITS)
        self.keep(Kept(desktop=desktop))

    def admit(self, admission: Admission) -> None:
        """Whom the firewall is to let in, for the program that tells it so. Raises OSError."""
        self._write("admission", f"{admission.client} {admission.seconds}\n".encode(), _OWN)

    def remove(self) -> None:
        """All of it; what is gone already is no error. Raises OSError."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self.path)

    def _write(self, name: str, content: bytes, mode: int) -> None:
        new = self.path / f"{name}.new"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        new.chmod(mode)
        new.rename(self.path / name)


def _make(path: Path, mode: int) -> None:
    """A directory of just this mode, and of its parent's group, which what is made in it gets too.

    Such directories have the set-group-ID bit. The sandbox forbids to set it, and a chmod(2) without it would
    take it away.
    """
    before = os.umask(0)  # of the whole process: its other files are made with modes that need none
    try:
        path.mkdir(mode)
    finally:
        os.umask(before)


def in_use(root: Path) -> list[int]:
    """The ports that have a directory."""
    names = (each.name for each in root.iterdir() if each.is_dir())
    return sorted(int(name) for name in names if name.isdecimal() and FIRST_PORT <= int(name) <= LAST_PORT)
