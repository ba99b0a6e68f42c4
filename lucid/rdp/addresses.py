"""Addresses: from where an RDP client will connect, and where it finds a host. Pure."""

import ipaddress
import re

from lucid.kit.errors import Invalid

NAME_THE_CLIENT = 'name the address from which the RDP client will connect, as in "client": "203.0.113.7"'
_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")
_PUBLIC_FORM = "write it as rdp1=rdp1.example.org,rdp2=203.0.113.9"


def client_address(named: str | None, seen: str) -> str:
    """The one address that is to be admitted: as named in the request, or else as seen by the gateway.

    Raises Invalid if there is none, or one that no client can have.
    """
    if named is None and _parsed(seen) is None:
        why = "you come through Tor" if seen.startswith("circuit:") else "your address is not known"
        raise Invalid(f"client: {why}, so {NAME_THE_CLIENT}", field="client")
    found = _parsed(seen if named is None else named)
    if found is None:
        raise Invalid(f"client: {named!r} is no IP address; {NAME_THE_CLIENT}", field="client")
    if found.is_multicast or found.is_unspecified or found == ipaddress.IPv4Address("255.255.255.255"):
        raise Invalid(f"client: no client connects from {found}; {NAME_THE_CLIENT}", field="client")
    return str(found)


def public_addresses(text: str) -> dict[str, str]:
    """The names or addresses by which people reach hosts, by host. Raises ValueError."""
    found: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        host, _, address = (part.strip() for part in pair.partition("="))
        if not host or host in found:
            raise ValueError(f"host {host!r} is {'named twice' if host else 'missing'}; {_PUBLIC_FORM}")
        if _parsed(address) is None and not (_NAME.fullmatch(address) and len(address) <= 253):
            raise ValueError(f"{address!r} of {host} is neither a name nor an address; {_PUBLIC_FORM}")
        found[host] = address
    return found


def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address; one of IPv4 in the clothes of IPv6 undressed, as the host's firewall sees it."""
    if "%" in text:  # a zone means something on one machine only
        return None
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped) or found
