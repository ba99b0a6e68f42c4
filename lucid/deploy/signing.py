"""Certificates for hosts: a host sends a public key of its own, the control machine says for whom it is."""

from collections.abc import Iterable
from datetime import timedelta

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lucid.deploy.plan import Certificate
from lucid.kit import authority


class Request(msgspec.Struct, frozen=True):
    """A certificate that a host asks for."""

    certificate: Certificate
    public_key: str
    """SubjectPublicKeyInfo, PEM."""


def sign(requests: Iterable[object], ca_certificate: str, ca_key: str, days: int) -> dict[str, str]:
    """PEM certificates by name. Raises ValueError for a key, an address or a life that will not do."""
    signer = authority.load(ca_certificate.encode(), ca_key.encode())
    if days < 1:
        raise ValueError(f"pki_days is {days}; a certificate lives at least a day")
    made = {}
    for request in msgspec.convert(list(requests), list[Request]):
        wanted = request.certificate
        key = serialization.load_pem_public_key(request.public_key.encode())
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise ValueError(f"{wanted.name}: the public key is not one on an elliptic curve")
        cert = authority.issue(
            signer,
            key,
            authority.subject(wanted.name, wanted.unit),
            authority.names(wanted.dns, wanted.addresses),
            timedelta(days=days),
        )
        made[wanted.name] = cert.public_bytes(serialization.Encoding.PEM).decode()
    return made
