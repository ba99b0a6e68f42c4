"""Whether a certificate and a key that an operator supplies can be shown to people (RFC 5280, RFC 9525)."""

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

CHAIN, KEY = "public_certificate_chain", "public_certificate_key"
_LEAST_RSA_BITS = 2048


def problems(chain: str, key: str, names: Iterable[str], now: datetime) -> tuple[str, ...]:
    """Every reason why they cannot be shown, each with the variable at fault; nothing quotes the key.

    `chain` and `key` are PEM, `now` has its time zone.
    """
    try:
        certificates = x509.load_pem_x509_certificates(chain.encode())
    except ValueError:
        return (f"{CHAIN} is no PEM certificate, or is damaged; put the host's first, then its issuers",)
    try:
        private = load_pem_private_key(key.encode(), password=None)
    except TypeError:
        return (f"{KEY} is encrypted with a password; decrypt it, and keep it in the vault",)
    except ValueError:
        return (f"{KEY} is no PEM private key, or is damaged",)
    return (
        *_pair(certificates[0], private),
        *_order(certificates),
        *_time(certificates, now),
        *_names(certificates[0], names),
    )


def _pair(certificate: x509.Certificate, key: PrivateKeyTypes) -> Iterator[str]:
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if certificate.public_key().public_bytes(*form) != key.public_key().public_bytes(*form):
        yield f"{KEY} is not the key of the first certificate in {CHAIN} ({_who(certificate)})"
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < _LEAST_RSA_BITS:
        yield f"{KEY} has {key.key_size} bits; clients want {_LEAST_RSA_BITS} at least"


def _order(certificates: Sequence[x509.Certificate]) -> Iterator[str]:
    for one, issuer in pairwise(certificates):
        try:
            one.verify_directly_issued_by(issuer)
        except (InvalidSignature, ValueError, TypeError):
            yield (
                f"{CHAIN}: {_who(one)} was not issued by the one behind it ({_who(issuer)});"
                " each is followed by its issuer"
            )


def _time(certificates: Sequence[x509.Certificate], now: datetime) -> Iterator[str]:
    for each in certificates:
        if each.not_valid_after_utc <= now:
            yield f"{CHAIN}: {_who(each)} has expired, on {each.not_valid_after_utc:%Y-%m-%d}"
        if each.not_valid_before_utc > now:
            yield f"{CHAIN}: {_who(each)} is not valid before {each.not_valid_before_utc:%Y-%m-%d}"


def _names(certificate: x509.Certificate, names: Iterable[str]) -> Iterator[str]:
    try:
        known = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        yield f"{CHAIN}: {_who(certificate)} has no subjectAltName, so that no client believes it"
        return
    dns = {name.lower() for name in known.get_values_for_type(x509.DNSName)}
    addresses: set[object] = set(known.get_values_for_type(x509.IPAddress))
    for name in names:
        if not _covered(name.lower(), dns, addresses):
            yield (
                f"{CHAIN}: {_who(certificate)} is not good for {name}; correct lucid_public_names,"
                " or set names in lucid_public_certificate"
            )


def _covered(name: str, dns: set[str], addresses: set[object]) -> bool:
    """A wildcard stands for one label, the leftmost."""
    try:
        return ipaddress.ip_address(name) in addresses
    except ValueError:
        return name in dns or f"*.{name.partition('.')[2]}" in dns


def _who(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string() or f"serial {certificate.serial_number:x}"
