"""session-controller: the life of the RDP sessions of its host, from the first process to the last file."""

from typing import Literal

import msgspec

from lucid.contracts.types import EnvelopeText, Milliseconds, SessionId, SessionPath
from lucid.contracts.xrdp import Admission, Admitted, Height, Port, Width
from lucid.kit.errors import Code
from lucid.kit.routes import Nothing, Route

SERVICE = "session-controller"

State = Literal["starting", "ready", "connected", "disconnected", "ending", "ended"]
Ending = Literal[
    "requested",  # its owner or an admin ended it
    "logged_out",  # the desktop ended by itself
    "not_used",  # nobody came in time
    "disconnected",  # nobody came back in time
    "expired",  # it has had all the time that its policy allows
    "violation",  # its recording did not go on, or something else that the policy rules out
    "not_recorded",  # its recording did not begin
    "failed",  # the desktop could not be started
    "host_lost",  # its host died, or was not heard of for too long
]


class Begin(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A desktop to be, at a port that nobody else on this host has."""

    port: Port
    trust: EnvelopeText
    width: Width
    height: Height


class End(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why it is to end."""

    reason: Ending = "requested"


class RdpSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session of this host. An ended one is told of for an hour."""

    session: SessionId
    port: int
    state: State
    began_ms: Milliseconds
    ended_ms: Milliseconds | None
    ending: Ending | None
    detail: str | None
    """One line for people on how it ended."""
    client: str | None
    """The address that is connected."""


class RdpSessions(msgspec.Struct, frozen=True):
    """All of this host."""

    sessions: tuple[RdpSession, ...]


BEGIN = Route(
    SERVICE, "PUT", "/sessions/{session}", SessionPath, Begin, RdpSession,
    "Start a desktop and its recording; answered when the first fragment is durable",
    errors=(Code.CONFLICT, Code.SESSION_STATE, Code.STORAGE_FULL),
)  # fmt: skip
ADMIT = Route(
    SERVICE, "PUT", "/sessions/{session}/admission", SessionPath, Admission, Admitted,
    "Let one client log in once; whoever is connected is cut off",
    errors=(Code.NOT_FOUND, Code.SESSION_STATE),
)  # fmt: skip
DISCONNECT = Route(
    SERVICE, "DELETE", "/sessions/{session}/admission", SessionPath, Nothing, RdpSession,
    "Cut off whoever is connected; the desktop lives on", errors=(Code.NOT_FOUND,),
)  # fmt: skip
END = Route(
    SERVICE, "POST", "/sessions/{session}/end", SessionPath, End, RdpSession,
    "End a session for good; one that has ended already is no error", errors=(Code.NOT_FOUND,),
    idempotent=True,
)  # fmt: skip
GET = Route(
    SERVICE, "GET", "/sessions/{session}", SessionPath, Nothing, RdpSession, "A session of this host",
    errors=(Code.NOT_FOUND,),
)  # fmt: skip
LIST = Route(
    SERVICE, "GET", "/sessions", Nothing, Nothing, RdpSessions, "All sessions of this host", quiet=True
)

ROUTES = (BEGIN, ADMIT, DISCONNECT, END, GET, LIST)
