"""xrdp, the agent: desktops and their RDP listeners on one host, each in a slot of its own.

A slot is named by its RDP port. From that follow its X display, its systemd units, its unix user, its slice
and its directory: nothing of a session is named otherwise on its host.
"""

from typing import Annotated, Literal

import msgspec

from lucid import catalog
from lucid.contracts.session_recorder import Cookie, Display
from lucid.contracts.types import EnvelopeText, Hash, Milliseconds, SessionId
from lucid.kit.errors import Code
from lucid.kit.routes import Nothing, Route

SERVICE = "xrdp"

_LISTENER = catalog.shipped().listeners["rdp"]  # no deployment has others
FIRST_PORT, LAST_PORT = _LISTENER.ports
LOGIN_PORT = _LISTENER.asks
"""Where listeners ask on loopback whether a password is right."""
FIRST_DISPLAY = 100
"""Beyond the numbers that other X servers of a host take, and ssh."""
SLOTS_DIRECTORY = "/run/lucid-rdp"
"""Holds a directory for each slot in use, named by its port."""
X11_DIRECTORY = "x11"
"""Below the slot's: where its X server's socket is."""
ADMISSION_SETS = {4: "lucid-rdp4", 6: "lucid-rdp6"}
"""The firewall's sets of who may reach which listener, by IP version."""
USER_NAME = "lucid"
"""What RDP clients log in as; the password alone tells the sessions apart."""

Port = Annotated[
    int, msgspec.Meta(ge=FIRST_PORT, le=LAST_PORT, description="TCP port of the session's RDP listener.")
]
Width = Annotated[int, msgspec.Meta(ge=320, le=7680, description="Pixels.")]
Height = Annotated[int, msgspec.Meta(ge=240, le=4320, description="Pixels.")]
Seconds = Annotated[int, msgspec.Meta(ge=1, le=604_800)]
Address = Annotated[
    str,
    msgspec.Meta(
        min_length=2, max_length=45, description="IP address of the client's machine, IPv4 or IPv6."
    ),
]


def display_number(port: int) -> int:
    """The X display of a slot."""
    return port - FIRST_PORT + FIRST_DISPLAY


DesktopState = Literal["starting", "running", "over"]


def port_of(display: int) -> int:
    """The slot that an X display would belong to."""
    return display - FIRST_DISPLAY + FIRST_PORT


class SlotPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names one slot."""

    port: Port


class Desktop(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A desktop that nobody can reach yet. `trust` is the owner-signed policy that binds it."""

    session: SessionId
    trust: EnvelopeText
    width: Width
    height: Height


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """Where the desktop is to be recorded from."""

    display: Display
    cookie: Cookie

    def __repr__(self) -> str:
        return f"Shown(display={self.display!r}, cookie=***)"


class Admission(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who may log in once, from where and until when. Of the password only SHA-256 is told."""

    client: Address
    password_sha256: Hash
    seconds: Annotated[int, msgspec.Meta(ge=5, le=3600)]

    def __repr__(self) -> str:
        return f"Admission(client={self.client!r})"


class Admitted(msgspec.Struct, frozen=True, kw_only=True):
    """The listener is there. `certificate_sha256` is of the DER certificate that it shows."""

    certificate_sha256: Hash


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a slot. A session whose desktop is `over` has ended by itself, or was ended."""

    port: int
    session: SessionId
    desktop: DesktopState
    listening: bool
    clients: tuple[str, ...]
    """Addresses that are connected."""
    logged_in_ms: Milliseconds | None
    """When the one-time password was used."""


class Slots(msgspec.Struct, frozen=True):
    """All slots in use."""

    slots: tuple[Slot, ...]


_BUSY = (Code.CONFLICT, Code.SESSION_STATE)

PREPARE = Route(
    SERVICE, "PUT", "/slots/{port}", SlotPath, Desktop, Shown,
    "Start a desktop that nobody can reach; the one that is there already is no error", errors=_BUSY,
)  # fmt: skip
ADMIT = Route(
    SERVICE, "PUT", "/slots/{port}/admission", SlotPath, Admission, Admitted,
    "Listen, and let one client log in once; whoever is connected is cut off",
    errors=(Code.NOT_FOUND, *_BUSY),
)  # fmt: skip
CLOSE = Route(
    SERVICE, "DELETE", "/slots/{port}/admission", SlotPath, Nothing, Nothing,
    "Listen no more; whoever is connected is cut off, the desktop lives on", status=204,
)  # fmt: skip
END = Route(
    SERVICE, "DELETE", "/slots/{port}", SlotPath, Nothing, Nothing,
    "End the desktop and remove all that belongs to it", status=204,
)  # fmt: skip
GET = Route(
    SERVICE, "GET", "/slots/{port}", SlotPath, Nothing, Slot, "What is in a slot", errors=(Code.NOT_FOUND,),
)  # fmt: skip
LIST = Route(SERVICE, "GET", "/slots", Nothing, Nothing, Slots, "All slots in use", quiet=True)

ROUTES = (PREPARE, ADMIT, CLOSE, END, GET, LIST)
