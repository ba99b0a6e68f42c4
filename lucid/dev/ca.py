"""A throwaway certificate authority for one machine, so that development uses the same mutual TLS as hosts.

Nothing here protects anything beyond loopback: the authority's key lies beside the certificates it signs.
"""

import ipaddress
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lucid.kit.tls import internal_name

_BACKDATED = timedelta(days=1)  # for clocks that are behind
_AUTHORITY_LIFE = timedelta(days=365)
_LEAF_LIFE = timedelta(days=30)
_RENEW_BEFORE = timedelta(days=7)
_SERVICE = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")

_Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


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
        wanted[service] = x509.SubjectAlternativeName(
            [x509.DNSName(name) for name in (internal_name(service), *extra_names)]
            + [x509.IPAddress(ipaddress.ip_address(address)) for address in extra_addresses]
        )
    authority = _authority(directory)
    return {service: _leaf(directory, service, names, authority) for service, names in wanted.items()}


def _authority(directory: Path) -> _Pair:
    cert_path, key_path = directory / "ca.crt", directory / "ca.key"
    kept = _load(cert_path, key_path)
    if kept is not None and not _expiring(kept[0], _LEAF_LIFE + _RENEW_BEFORE):
        return kept
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Lucid throwaway CA")])
    builder = (
        _builder(name, name, key.public_key(), _AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
    )
    cert = builder.sign(key, hashes.SHA256())
    _store(cert_path, key_path, cert, key)
    return cert, key


def _leaf(directory: Path, service: str, names: x509.SubjectAlternativeName, authority: _Pair) -> Issued:
    issued = Issued(directory / f"{service}.crt", directory / f"{service}.key", directory / "ca.crt")
    ca_cert, ca_key = authority
    kept = _load(issued.cert, issued.key)
    if kept is not None and _fits(kept[0], names, ca_cert) and not _expiring(kept[0], _RENEW_BEFORE):
        return issued
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, service)])
    both_ways = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    cert = (
        _builder(subject, ca_cert.subject, key.public_key(), _LEAF_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(both_ways, critical=False)
        .add_extension(names, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    _store(issued.cert, issued.key, cert, key)
    return issued


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, life: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _load(cert_path: Path, key_path: Path) -> _Pair | None:
    """Return a stored pair, None if it is missing, damaged or not a pair: it is then simply made anew."""
    try:
        cert = x509.load_pem_x509_certificate(cert_path.read_bytes())
        key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
    except (FileNotFoundError, ValueError):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.public_key() == cert.public_key():
        return cert, key
    return None


def _expiring(cert: x509.Certificate, margin: timedelta) -> bool:
    return cert.not_valid_after_utc - datetime.now(UTC) < margin


def _fits(cert: x509.Certificate, names: x509.SubjectAlternativeName, ca_cert: x509.Certificate) -> bool:
    try:
        cert.verify_directly_issued_by(ca_cert)
        return cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value == names
    except (InvalidSignature, ValueError, x509.ExtensionNotFound):
        return False


def _store(cert_path: Path, key_path: Path, cert: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _replace(key_path, secret, 0o600)
    _replace(cert_path, cert.public_bytes(pem), 0o644)


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Write a file so that no reader sees it half, nor anybody else a key for a moment."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    fresh.replace(path)
