"""rdp-manager: RDP sessions as people see them, the hosts that they run on, and trust policies."""

from typing import Annotated

import msgspec

from lucid.contracts.session_controller import Ending, State
from lucid.contracts.types import (
    EnvelopeText,
    FrameRate,
    Hash,
    Milliseconds,
    PageLimit,
    RetentionDays,
    SessionBytes,
    SessionId,
    SessionPath,
    Text,
    UserId,
)
from lucid.contracts.xrdp import Address, Height, Width
from lucid.evidence.policy import Quality
from lucid.kit.errors import Code
from lucid.kit.hosts import HostName
from lucid.kit.routes import Access, Nothing, Route

SERVICE = "rdp-manager"

PolicyId = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        description="Policy id: a UUID in lower case.",
    ),
]


class CreateRdpSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A desktop to be opened, under which policy, and how it is recorded."""

    policy: PolicyId
    name: Text = ""
    width: Width = 1280
    height: Height = 720
    client: Address | None = None
    """From where the RDP client will connect; None: from where this request comes."""
    frame_rate: FrameRate = 15
    quality: Quality = "high"
    max_bytes: SessionBytes = 10 * 1024**3
    retention_days: RetentionDays = 30


class Connect(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """From where the RDP client will connect; None: from where this request comes."""

    client: Address | None = None


class RdpSession(msgspec.Struct, frozen=True, kw_only=True):
    """A desktop. Its recording is the session of the same id."""

    id: SessionId
    name: str
    owner: UserId
    host: str
    port: int
    state: State
    policy: PolicyId
    trust_sha256: Hash
    """Of the policy as it was signed: what changes in the policy later is nothing to this session."""
    width: int
    height: int
    created_ms: Milliseconds
    ended_ms: Milliseconds | None
    ending: Ending | None
    detail: str | None
    client: str | None
    """The address that is connected."""


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """How to connect, once. The password is told here and nowhere else."""

    session: RdpSession
    address: str
    port: int
    user: str
    password: str
    expires_ms: Milliseconds
    certificate_sha256: Hash
    """Fingerprint of the listener's certificate (DER)."""
    rdp_file: str
    """Content of a .rdp file for ordinary clients; it asks for the password."""

    def __repr__(self) -> str:
        return f"Connection(session={self.session.id!r}, address={self.address!r}, password=***)"


class RdpSessionsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Newest first; `before` is the id of the last session of the page before. `owner` is for admins."""

    limit: PageLimit = 20
    before: SessionId | None = None
    state: State | None = None
    owner: UserId | None = None
    host: HostName | None = None


class RdpSessions(msgspec.Struct, frozen=True):
    """A page of sessions."""

    sessions: tuple[RdpSession, ...]
    next: SessionId | None


class HostPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names a host."""

    host: HostName


class SetHost(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A draining host gets no new sessions; those it has go on."""

    draining: bool


class RdpHost(msgspec.Struct, frozen=True, kw_only=True):
    """A host of desktops. Figures are None while it does not answer."""

    name: str
    answers: bool
    draining: bool
    sessions: int
    cpu_busy: float | None
    """Share of all its cores, 0 to 1."""
    memory_free_bytes: int | None
    disk_free_bytes: int | None


class RdpHosts(msgspec.Struct, frozen=True):
    """All hosts of desktops."""

    hosts: tuple[RdpHost, ...]


class PutPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A trust policy, signed by its owner: a DSSE envelope."""

    envelope: EnvelopeText


class PolicyPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names one policy."""

    policy: PolicyId


class PolicyQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Newest first; `before` is the id of the last policy of the page before. `owner` is for admins."""

    limit: PageLimit = 20
    before: PolicyId | None = None
    owner: UserId | None = None


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """A trust policy."""

    id: PolicyId
    owner: UserId
    name: str
    sha256: Hash
    """Of the canonical policy, as it stands in the sessions' evidence."""
    version: int
    """Counts its changes, from 1."""
    changed_ms: Milliseconds
    envelope: str


class Policies(msgspec.Struct, frozen=True):
    """A page of policies."""

    policies: tuple[Policy, ...]
    next: PolicyId | None


OPEN_SECONDS = 50.0
"""After this time a desktop is open, or it is known why it cannot be: X server and recorder may be slow."""

_KNOWN = (Code.NOT_FOUND,)

CREATE = Route(
    SERVICE, "POST", "/rdp/sessions", Nothing, CreateRdpSession, Connection,
    "Open a desktop; answered when its recording is durable and one client may log in", access=Access.USER,
    status=201, errors=(Code.NOT_FOUND, Code.QUOTA, Code.CONFLICT, Code.SESSION_STATE, Code.STORAGE_FULL),
    seconds=OPEN_SECONDS,
)  # fmt: skip
LIST = Route(
    SERVICE, "GET", "/rdp/sessions", RdpSessionsQuery, Nothing, RdpSessions,
    "My desktops; admins see everybody's", access=Access.USER, errors=(*_KNOWN, Code.PERMISSION),
)  # fmt: skip
GET = Route(
    SERVICE, "GET", "/rdp/sessions/{session}", SessionPath, Nothing, RdpSession, "One desktop",
    access=Access.USER, errors=_KNOWN,
)  # fmt: skip
CONNECT = Route(
    SERVICE, "POST", "/rdp/sessions/{session}/connect", SessionPath, Connect, Connection,
    "A new one-time password for the same desktop; whoever is connected is cut off", access=Access.USER,
    errors=(*_KNOWN, Code.SESSION_STATE),
)  # fmt: skip
DISCONNECT = Route(
    SERVICE, "POST", "/rdp/sessions/{session}/disconnect", SessionPath, Nothing, RdpSession,
    "Cut off whoever is connected; the desktop lives on", access=Access.USER,
    errors=(*_KNOWN, Code.SESSION_STATE),
)  # fmt: skip
END = Route(
    SERVICE, "DELETE", "/rdp/sessions/{session}", SessionPath, Nothing, RdpSession,
    "End a desktop and its recording for good", access=Access.USER, errors=_KNOWN,
)  # fmt: skip
HOSTS = Route(
    SERVICE, "GET", "/rdp/hosts", Nothing, Nothing, RdpHosts, "The hosts of desktops", access=Access.ADMIN,
)  # fmt: skip
SET_HOST = Route(
    SERVICE, "PUT", "/rdp/hosts/{host}", HostPath, SetHost, RdpHost,
    "Drain a host for maintenance, or give it sessions again", access=Access.ADMIN, errors=_KNOWN,
)  # fmt: skip
POLICIES = Route(
    SERVICE, "GET", "/trust/policies", PolicyQuery, Nothing, Policies,
    "My trust policies; admins see everybody's", access=Access.USER, errors=(*_KNOWN, Code.PERMISSION),
)  # fmt: skip
CREATE_POLICY = Route(
    SERVICE, "POST", "/trust/policies", Nothing, PutPolicy, Policy,
    "Store a trust policy that its owner has signed", access=Access.USER, status=201,
    errors=(Code.QUOTA, Code.EXISTS, Code.CONFLICT),
)  # fmt: skip
GET_POLICY = Route(
    SERVICE, "GET", "/trust/policies/{policy}", PolicyPath, Nothing, Policy, "One trust policy",
    access=Access.USER, errors=_KNOWN,
)  # fmt: skip
UPDATE_POLICY = Route(
    SERVICE, "PUT", "/trust/policies/{policy}", PolicyPath, PutPolicy, Policy,
    "Replace a trust policy; sessions that run keep the one they began with", access=Access.USER,
    errors=(*_KNOWN, Code.EXISTS, Code.CONFLICT),
)  # fmt: skip
DELETE_POLICY = Route(
    SERVICE, "DELETE", "/trust/policies/{policy}", PolicyPath, Nothing, Nothing,
    "Delete a trust policy; sessions that run keep the one they began with", access=Access.USER,
    errors=_KNOWN,
)  # fmt: skip

ROUTES = (
    CREATE, LIST, GET, CONNECT, DISCONNECT, END, HOSTS, SET_HOST,
    POLICIES, CREATE_POLICY, GET_POLICY, UPDATE_POLICY, DELETE_POLICY,
)  # fmt: skip
