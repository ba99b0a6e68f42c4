"""A throwaway certificate authority for one machine, so that development uses the same mutual TLS as hosts.

Nothing here protects anything beyond loopback: the authority's key lies beside the certificates it signs.
"""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lucid.kit import authority
from lucid.kit.authority import Authority
from lucid.kit.tls import internal_name

_AUTHORITY_LIFE = timedelta(days=365)
_LEAF_LIFE = timedelta(days=30)
_RENEW_BEFORE = timedelta(days=7)
_SERVICE = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Issued:
    """PEM files of one service: its certificate, its private key (mode 0600), the authority's certificate."""

    cert: Path
    key: Path
    ca: Path


def ensure(
    directory: Path,
    services: Iterable[str],
    *,
    extra_names: Sequence[str] = (),
    extra_addresses: Sequence[str] = (),
) -> dict[str, Issued]:
    """Return a certificate for each service, making what is missing, expires within a week or doesn't fit.

    `directory` receives `ca.crt`, `ca.key` and for each service `<service>.crt` and `<service>.key`. A
    certificate names `<service>.lucid.internal` and the given further DNS names and IP addresses, and serves
    both as server and as client. Raises ValueError for a name or address that is none.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    wanted = {}
    for service in services:
        if service == "ca" or not _SERVICE.fullmatch(service):
            raise ValueError(
                f"{service!r} cannot be a service's name: lower-case letters, digits and '-', not 'ca'"
            )
        wanted[service] = authority.names([internal_name(service), *extra_names], extra_addresses)
    signer = _authority(directory)
    return {service: _leaf(directory, service, names, signer) for service, names in wanted.items()}


def _authority(directory: Path) -> Authority:
    cert_path, key_path = directory / "ca.crt", directory / "ca.key"
    kept = _load(cert_path, key_path)
    if kept is not None and not authority.expiring(kept.cert, _LEAF_LIFE + _RENEW_BEFORE):
        return kept
    made = authority.new_authority("Lucid throwaway CA", _AUTHORITY_LIFE)
    _store(cert_path, key_path, made.cert, made.key)
    return made


def _leaf(directory: Path, service: str, names: x509.SubjectAlternativeName, signer: Authority) -> Issued:
    issued = Issued(directory / f"{service}.crt", directory / f"{service}.key", directory / "ca.crt")
    kept = _load(issued.cert, issued.key)
    if (
        kept is not None
        and authority.fits(kept.cert, names, signer.cert)
        and not authority.expiring(kept.cert, _RENEW_BEFORE)
    ):
        return issued
    key = ec.generate_private_key(ec.SECP256R1())
    cert = authority.issue(signer, key.public_key(), authority.subject(service), names, _LEAF_LIFE)
    _store(issued.cert, issued.key, cert, key)
    return issued


def _load(cert_path: Path, key_path: Path) -> Authority | None:
    """Return a stored pair, None if it is missing, damaged or not a pair: it is then simply made anew."""
    try:
        return authority.load(cert_path.read_bytes(), key_path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def _store(cert_path: Path, key_path: Path, cert: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    _replace(key_path, authority.private_pem(key), 0o600)
    _replace(cert_path, cert.public_bytes(serialization.Encoding.PEM), 0o644)


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Write a file so that no reader sees it half, nor anybody else a key for a moment."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    fresh.replace(path)
