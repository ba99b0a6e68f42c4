"""Certificates as the site's authority makes them, and as others would like to."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lucid.kit import authority
from lucid.kit.authority import Authority
from lucid.kit.tls import internal_name
from tests.site.standing import Site
from tests.site.vault import vault

LIFE = timedelta(hours=1)
OVER = timedelta(minutes=-1)


def site_authority(site: Site) -> Authority:
    """The authority that every host of the site believes."""
    found = vault(site)
    return authority.load(found["vault_ca_certificate"].encode(), found["vault_ca_key"].encode())


def foreign_authority() -> Authority:
    """One that calls itself the same."""
    return authority.new_authority("Lucid site authority", LIFE)


def certificate(signer: Authority) -> bytes:
    """An authority's own certificate, PEM."""
    return authority.pem(signer)[0]


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its key, PEM."""

    certificate: str
    key: str

    def store(self, directory: Path, name: str) -> tuple[Path, Path]:
        """Writes both; returns where."""
        paths = directory / f"{name}.crt", directory / f"{name}.key"
        paths[0].write_text(self.certificate)
        paths[1].write_text(self.key)
        return paths


def issue(
    signer: Authority, name: str, *, dns: Sequence[str] = (), unit: str = "services", life: timedelta = LIFE
) -> Identity:
    """A certificate for a program called `name`, good on this machine too; `dns` instead of its own name."""
    key = ec.generate_private_key(ec.SECP256R1())
    loopback = [str(ipaddress.ip_address(each)) for each in ("127.0.0.1", "::1")]
    called = authority.names(list(dns) or [internal_name(name)], loopback)
    cert = authority.issue(signer, key.public_key(), authority.subject(name, unit), called, life)
    return Identity(
        cert.public_bytes(serialization.Encoding.PEM).decode(), authority.private_pem(key).decode()
    )
