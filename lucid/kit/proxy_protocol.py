"""The PROXY protocol's header, version 1, as Tor writes it in front of a connection to an onion service.

One line of ASCII, at most 107 bytes: `PROXY TCP6 <source> <destination> <port> <port>`, then CR LF. Spaces
are single and ports decimal (HAProxy's proxy-protocol.txt, section 2.1); `PROXY UNKNOWN`, which names nobody,
is refused. With `HiddenServiceExportCircuitID haproxy` (tor(1)) the source is in fc00:dead:beef:4dad::/96,
and its last 32 bits are the circuit's number: all that tells one client of an onion service from another.
"""

import ipaddress
import re
from typing import Final, NamedTuple

LONGEST: Final = 107
"""Bytes of the longest header, CR LF included."""
CIRCUITS: Final = ipaddress.IPv6Network("fc00:dead:beef:4dad::/96")
_START = b"PROXY TCP"
_END = b"\r\n"
_LINE = re.compile(
    rb"PROXY TCP([46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})\r\n"
)
_FAMILY = {b"4": ipaddress.IPv4Address, b"6": ipaddress.IPv6Address}


class Malformed(ValueError):
    """What a connection begins with is no header that this listener takes."""


class Header(NamedTuple):
    """Whose connection it is, and how long the header was."""

    source: str
    """Their address, in its shortest form."""
    port: int
    size: int
    """Bytes; what the client itself has sent begins behind them."""

    def circuit(self) -> int:
        """The number of Tor's circuit. Raises Malformed if the source is none."""
        address = ipaddress.ip_address(self.source)
        if address not in CIRCUITS:
            raise Malformed(
                "the PROXY header's source is no circuit of Tor; set HiddenServiceExportCircuitID haproxy"
            )
        return int(address) & 0xFFFFFFFF


def parse(data: bytes) -> Header | None:
    """The header at the beginning of `data`; None if more has to come. Raises Malformed."""
    end = data.find(_END, 0, LONGEST)
    if end < 0:
        if len(data) >= LONGEST or not data.startswith(_START[: len(data)]):
            raise Malformed(f"no PROXY header in the first {min(len(data), LONGEST)} bytes")
        return None
    size = end + len(_END)
    found = _LINE.fullmatch(data[:size])
    if found is None:
        raise Malformed("the first line is not `PROXY TCP4` or `PROXY TCP6` with two addresses and two ports")
    family, source, destination, *ports = found.groups()
    try:
        address, _ = (_FAMILY[family](each.decode()) for each in (source, destination))
    except ipaddress.AddressValueError as error:
        raise Malformed(f"the PROXY header names no address: {error}") from None
    if any(int(each) > 65535 for each in ports):
        raise Malformed("a port of the PROXY header is beyond 65535")
    return Header(str(address), int(ports[0]), size)
