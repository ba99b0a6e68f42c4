"""Who is connected to a port of this host, from the kernel's tables of TCP sockets (proc(5): net/tcp)."""

import socket
import struct
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

TABLES = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
_ESTABLISHED = "01"


def clients(tables: Iterable[str]) -> dict[int, tuple[str, ...]]:
    """The other ends of established connections, by local port; IPv4 in IPv6 as IPv4."""
    found: dict[int, set[str]] = {}
    for text in tables:
        for port, address in _rows(text):
            found.setdefault(port, set()).add(address)
    return {port: tuple(sorted(addresses)) for port, addresses in found.items()}


def _rows(text: str) -> Iterator[tuple[int, str]]:
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 3 and fields[3] == _ESTABLISHED:
            yield int(fields[1].rpartition(":")[2], 16), _address(fields[2].rpartition(":")[0])


def _address(text: str) -> str:
    """Words of 32 bits in the host's order, each printed as a number."""
    words = [int(text[i : i + 8], 16) for i in range(0, len(text), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    if len(packed) == 4:
        return str(IPv4Address(packed))
    address = IPv6Address(packed)
    return str(address.ipv4_mapped or socket.inet_ntop(socket.AF_INET6, packed))
