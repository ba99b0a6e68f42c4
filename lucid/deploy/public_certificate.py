"""Which certificate a host shows to people, as `lucid_public_certificate` of the inventory says.

The site's own, one whose files the operator supplies, or one from an authority that is asked by ACME
(RFC 8555) and makes sure of the names by asking this host over HTTP (http-01, section 8.3).
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from lucid.deploy.errors import SiteError

VARIABLE = "lucid_public_certificate"
FILE = "/etc/lucid/tls/public/public.pem"
"""Private key and certificates of a host whose certificate for people is not the site's own."""
USER = "lucid-acme"
"""The unix user that asks for certificates."""
LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
_NAME = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])")


class Own(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="source", tag="site"):
    """The certificate that the site's authority issues to the service."""


class Supplied(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="source", tag="supplied"):
    """One that the operator has, with its key."""

    names: tuple[str, ...] = ()
    """Names and addresses that it must be good for."""


class Acme(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="source", tag="acme"):
    """One that an authority issues to this host, again and again."""

    names: tuple[str, ...] = ()
    """DNS names."""
    server: str = LETS_ENCRYPT
    """URL of the authority's directory."""
    mail: str = ""
    """Where the authority may write to."""
    authority: str = ""
    """PEM certificates that the server itself is believed by; empty: those that the system trusts."""
    reaches: tuple[str, ...] = ("0.0.0.0/0", "::/0")
    """Networks that the server is in."""
    http_port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 80
    """Where this host answers what the authority asks at port 80 of its names."""

    @property
    def port(self) -> int:
        """TCP port of the server."""
        return urlsplit(self.server).port or 443

    @property
    def lineage(self) -> str:
        """What its certificates are kept under: another authority's never pass for them."""
        return urlsplit(self.server).hostname or ""


PublicCertificate = Own | Supplied | Acme


def read(host: str, value: object, public_names: Iterable[str]) -> PublicCertificate:
    """What the inventory says of `host`; names that are not given are its public ones. Raises SiteError."""
    try:
        found: PublicCertificate = msgspec.convert(value or {"source": "site"}, PublicCertificate)
    except msgspec.ValidationError as error:
        raise SiteError(
            f"host {host}: {VARIABLE}: {error}; write it as {{source: acme, mail: you@example.org}}"
        ) from None
    if isinstance(found, Own):
        return found
    wanted = found.names or tuple(
        name for name in public_names if isinstance(found, Supplied) or not _is_address(name)
    )
    found = msgspec.structs.replace(found, names=wanted)
    if reason := _fault(found):
        raise SiteError(f"host {host}: {VARIABLE}: {reason}")
    return found


def _fault(wanted: Supplied | Acme) -> str:
    """Why it cannot be had, empty if it can."""
    if not wanted.names:
        return "it has no names; set lucid_public_names, or names in it"
    if isinstance(wanted, Supplied):
        return ""
    if wrong := [name for name in wanted.names if not _NAME.fullmatch(name)]:
        return f"names: {wrong[0]!r} is no DNS name in lower case that an authority could ask by HTTP"
    server = urlsplit(wanted.server)
    if server.scheme != "https" or not server.hostname:
        return f"server: {wanted.server!r} is no https:// URL of an ACME directory"
    try:
        for network in wanted.reaches:
            ipaddress.ip_network(network)
    except ValueError as error:
        return f"reaches: {error}"
    return ""


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
