"""Which of all TCP ports of an address answer: a SYN to each, twice, and whatever comes back.

Connections would take an hour: where a packet filter drops what it does not know, each waits for its time.
"""

import socket
import struct
import time
from typing import Any

OWN_PORT = 40123
PORTS = 65535
BATCH, PAUSE_SECONDS = 128, 0.005
"""No more at once than queues on the way hold."""
LAST_SECONDS = 2.0
SYN, SYN_ACK, RST = 0x02, 0x12, 0x04
IPV6_CHECKSUM = 7
"""Of linux/in6.h: the kernel puts the checksum there."""


def main(asked: Any) -> dict[str, list[int]]:
    """Ports of the address `asked` that are `open`, and those that are `refused`: closed, but not dropped."""
    six = ":" in asked
    family = socket.AF_INET6 if six else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as ask:
        ask.connect((asked, 9))
        addresses = socket.inet_pton(family, ask.getsockname()[0]) + socket.inet_pton(family, asked)
    found: dict[int, int] = {}
    with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP) as raw:
        raw.setblocking(False)
        if six:
            raw.setsockopt(socket.IPPROTO_IPV6, IPV6_CHECKSUM, 16)
        for _ in range(2):
            for first in range(1, PORTS + 1, BATCH):
                for port in range(first, min(first + BATCH, PORTS + 1)):
                    send(raw, asked, segment(port, b"" if six else addresses))
                time.sleep(PAUSE_SECONDS)
                hear(raw, asked, found)
        time.sleep(LAST_SECONDS)
        hear(raw, asked, found)
    return {
        "open": sorted(port for port, flags in found.items() if flags & SYN_ACK == SYN_ACK),
        "refused": sorted(port for port, flags in found.items() if flags & RST),
    }


def send(raw: socket.socket, address: str, data: bytes) -> None:
    """Sends one segment, however long the queue is."""
    while True:
        try:
            raw.sendto(data, (address, 0))
        except BlockingIOError:
            time.sleep(PAUSE_SECONDS)
        else:
            return


def segment(port: int, addresses: bytes) -> bytes:
    """A SYN; with its checksum over IPv4's `addresses`, where they are given."""
    blank = struct.pack("!HHIIBBHHH", OWN_PORT, port, port, 0, 5 << 4, SYN, 1024, 0, 0)
    if not addresses:
        return blank
    over = addresses + struct.pack("!HH", socket.IPPROTO_TCP, len(blank)) + blank
    total = sum(struct.unpack(f"!{len(over) // 2}H", over))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return blank[:16] + struct.pack("!H", ~total & 0xFFFF) + blank[18:]


def hear(raw: socket.socket, address: str, found: dict[int, int]) -> None:
    """Takes note of what has come back: flags by port."""
    while True:
        try:
            data, sender = raw.recvfrom(2048)
        except BlockingIOError:
            return
        if raw.family == socket.AF_INET:
            data = data[(data[0] & 15) * 4 :]
        if sender[0] == address and len(data) >= 20:
            source, destination = struct.unpack("!HH", data[:4])
            if destination == OWN_PORT:
                found[source] = data[13]
