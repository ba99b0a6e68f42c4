"""Names of a slot's units: each RDP session of a host has one, named by its port. Pure rules, no I/O."""

import re

from lucid.contracts.xrdp import FIRST_PORT, LAST_PORT

PARENTS = ("lucid.slice", "lucid-rdp.slice")
"""What a slot's slice is below."""
PORTS = range(FIRST_PORT, LAST_PORT + 1)

_SLICE = re.compile(r"lucid-rdp-([1-9][0-9]{4})\.slice")


def port_of(name: str) -> int | None:
    """The port of the slot whose slice has this name; None for all other names."""
    match = _SLICE.fullmatch(name)
    port = int(match[1]) if match else 0
    return port if port in PORTS else None


def slice_of(port: int) -> str:
    """The slice of a slot."""
    return f"lucid-rdp-{port}.slice"


def listener_of(port: int) -> str:
    """The unit that listens for RDP."""
    return f"lucid-xrdp@{port}.service"


def desktop_of(port: int) -> str:
    """The unit of X server and desktop."""
    return f"lucid-desktop@{port}.service"
