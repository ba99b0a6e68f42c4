"""Certificates of a deployment's own authority (RFC 5280), all on P-256.

One form for every program: it serves with its certificate and shows it as a client, named
`<program>.lucid.internal` beside what else it is called.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_BACKDATED = timedelta(days=1)  # for clocks that are behind


@dataclass(frozen=True, slots=True)
class Authority:
    """Who signs."""

    cert: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def new_authority(name: str, life: timedelta) -> Authority:
    """A self-signed authority that may sign certificates of programs, but no further authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    cert = (
        _builder(subject, subject, key.public_key(), life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(cert, key)


def subject(name: str, unit: str | None = None) -> x509.Name:
    """`CN=name`, and of hosts `CN=name,OU=unit,O=Lucid`."""
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    if unit:
        parts += [
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Lucid"),
        ]
    return x509.Name(list(reversed(parts)))


def names(dns: Sequence[str], addresses: Sequence[str]) -> x509.SubjectAlternativeName:
    """What a certificate is good for. Raises ValueError for an address that is none."""
    return x509.SubjectAlternativeName(
        [x509.DNSName(name) for name in dns]
        + [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    )


def issue(
    authority: Authority,
    of: ec.EllipticCurvePublicKey,
    who: x509.Name,
    called: x509.SubjectAlternativeName,
    life: timedelta,
) -> x509.Certificate:
    """A certificate for the key `of`, as server and as client."""
    both_ways = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    return (
        _builder(who, authority.cert.subject, of, life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(both_ways, critical=False)
        .add_extension(called, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False
        )
        .sign(authority.key, hashes.SHA256())
    )


def fits(cert: x509.Certificate, called: x509.SubjectAlternativeName, ca_cert: x509.Certificate) -> bool:
    """Whether the authority has issued `cert`, for exactly these names."""
    try:
        cert.verify_directly_issued_by(ca_cert)
        return cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value == called
    except (InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound):
        return False


def expiring(cert: x509.Certificate, margin: timedelta) -> bool:
    """Whether `cert` ends within `margin`."""
    return cert.not_valid_after_utc - datetime.now(UTC) < margin


def pem(authority: Authority) -> tuple[bytes, bytes]:
    """Certificate and private key (PKCS #8, not encrypted) of an authority."""
    return authority.cert.public_bytes(serialization.Encoding.PEM), private_pem(authority.key)


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as PKCS #8, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load(cert: bytes, key: bytes) -> Authority:
    """Certificate and key from PEM. Raises ValueError if they are damaged or no pair of this kind."""
    found = Authority(
        x509.load_pem_x509_certificate(cert),
        _elliptic(serialization.load_pem_private_key(key, password=None)),
    )
    if found.key.public_key() != found.cert.public_key():
        raise ValueError("the private key is not the certificate's")
    return found


def _elliptic(key: object) -> ec.EllipticCurvePrivateKey:
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the private key is not one on an elliptic curve")
    return key


def _builder(
    who: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, life: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(who)
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
