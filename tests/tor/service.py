"""The onion service as the role `tor` sets it up, in a private network: its torrc, its key, its clients."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lucid.deploy import onion_service

ROLE = Path(__file__).parents[2] / "roles/tor"
SEED = "5eed" * 16
STATUS = ROLE / "files/usr/local/libexec/lucid-tor-status"


def torrc(data: Path, **options: Any) -> list[str]:
    """The lines that the role would write, with its defaults but for `options`."""
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
    own = {
        "ansible_managed": "",
        "_tor_data": data,
        "_tor_run": data,
        "_tor_service": data / "lucid",
        "_tor_has_proof_of_work": True,
    }
    templates = Environment(  # noqa: S701 - torrc is no HTML
        loader=FileSystemLoader(ROLE / "templates"), undefined=StrictUndefined, trim_blocks=True
    )
    return templates.get_template("etc/tor/torrc.j2").render(defaults | own | options).splitlines()


def write_key(data: Path) -> str:
    """The service's key files as the role writes them; returns the address that they make."""
    made = onion_service.of(SEED)
    directory = data / "lucid"
    directory.mkdir(mode=0o700)
    for kind in ("secret", "public"):
        (directory / f"hs_ed25519_{kind}_key").write_bytes(base64.b64decode(made[kind]))
    return made["address"]


@dataclass(frozen=True)
class Client:
    """Somebody who may find the service: a key pair of X25519, raw and in base32."""

    private: str
    public: str

    @classmethod
    def made(cls) -> "Client":
        key = X25519PrivateKey.generate()
        return cls(_base32(key.private_bytes_raw()), _base32(key.public_key().public_bytes_raw()))

    def let_in(self, data: Path) -> None:
        """What the role writes for one of `tor_clients`."""
        directory = data / "lucid/authorized_clients"
        directory.mkdir(mode=0o700)
        (directory / "anna.auth").write_text(f"descriptor:x25519:{self.public}\n")

    def keep(self, directory: Path, address: str) -> None:
        """What the client itself keeps, in its ClientOnionAuthDir."""
        directory.mkdir(mode=0o700)
        name = address.removesuffix(".onion")
        (directory / "lucid.auth_private").write_text(f"{name}:descriptor:x25519:{self.private}\n")


def _base32(key: bytes) -> str:
    return base64.b32encode(key).decode().rstrip("=")
