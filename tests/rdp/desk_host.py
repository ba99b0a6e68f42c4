"""A session-controller without desktops: it keeps the sessions of a host as its contract says.

Ports are one session's at a time, policies must be signed, passwords are good once and from one address. It
can be told to refuse, to be slow, or to forget, as hosts do.
"""

import asyncio
import hashlib
import time
from dataclasses import dataclass, field

from aiohttp import web

from lucid.contracts import session_controller as contract
from lucid.contracts.session_controller import Ending, RdpSession, State
from lucid.contracts.types import SessionPath
from lucid.contracts.xrdp import Admission, Admitted
from lucid.evidence import policy
from lucid.evidence.errors import EvidenceError
from lucid.kit import app as kit
from lucid.kit.app import Call, Handlers
from lucid.kit.errors import Code, Conflict, Invalid, LucidError, NotFound
from lucid.kit.routes import Nothing

CERTIFICATE = hashlib.sha256(b"certificate").hexdigest()


@dataclass
class Kept:
    """One session."""

    session: str
    port: int
    begin: contract.Begin
    began_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    state: State = "ready"
    ending: Ending | None = None
    ended_ms: int | None = None
    client: str | None = None
    admission: Admission | None = None

    def end(self, reason: Ending) -> None:
        """It has ended, and its port is free."""
        if self.state != "ended":
            self.state, self.ending, self.client = "ended", reason, None
            self.ended_ms = time.time_ns() // 1_000_000

    def view(self) -> RdpSession:
        """As the contract has it."""
        return RdpSession(
            session=self.session,
            port=self.port,
            state=self.state,
            began_ms=self.began_ms,
            ended_ms=self.ended_ms,
            ending=self.ending,
            detail=None,
            client=self.client,
        )


class DeskHost:
    """The sessions of one host, and what is wrong with it."""

    def __init__(self) -> None:
        self.sessions: dict[str, Kept] = {}
        self.refusal: LucidError | None = None
        """What a beginning is answered with, if anything."""
        self.refuses_admission = False
        self.going = asyncio.Event()
        """Without it, beginnings wait."""
        self.going.set()
        self.begins = 0

    def live(self) -> list[Kept]:
        """Those that have not ended."""
        return [each for each in self.sessions.values() if each.state != "ended"]

    def log_in(self, session: str, address: str, password: str) -> bool:
        """A client tries the password that it was given."""
        kept = self.sessions[session]
        told = kept.admission
        digest = hashlib.sha256(password.encode()).hexdigest()
        if kept.state == "ended" or told is None or (told.client, told.password_sha256) != (address, digest):
            return False
        kept.admission, kept.state, kept.client = None, "connected", address
        return True

    def build(self) -> web.Application:
        """The service."""
        handlers = Handlers()
        handlers.on(contract.BEGIN)(self._begin)
        handlers.on(contract.ADMIT)(self._admit)
        handlers.on(contract.DISCONNECT)(self._disconnect)
        handlers.on(contract.END)(self._end)
        handlers.on(contract.LIST)(self._list)
        return kit.build(contract.SERVICE, handlers)

    async def _begin(self, _: Call, params: SessionPath, body: contract.Begin) -> RdpSession:
        self.begins += 1
        await self.going.wait()
        if self.refusal is not None:
            raise self.refusal
        try:
            policy.verify(body.trust.encode())
        except EvidenceError as error:
            raise Invalid(str(error)) from None
        if (known := self.sessions.get(params.session)) is not None:
            if known.state == "ended" or known.port != body.port:
                raise Conflict("this session has ended, or has another port", code=Code.SESSION_STATE)
            return known.view()
        if any(each.port == body.port for each in self.live()):
            raise Conflict(f"port {body.port} is another session's")
        kept = self.sessions[params.session] = Kept(params.session, body.port, body)
        return kept.view()

    async def _admit(self, _: Call, params: SessionPath, body: Admission) -> Admitted:
        kept = self._kept(params)
        if self.refuses_admission or kept.state == "ended":
            raise Conflict("nobody is let in", code=Code.SESSION_STATE)
        if kept.client:
            kept.client, kept.state = None, "disconnected"
        kept.admission = body
        return Admitted(certificate_sha256=CERTIFICATE)

    async def _disconnect(self, _: Call, params: SessionPath, __: Nothing) -> RdpSession:
        kept = self._kept(params)
        kept.admission = None
        if kept.client:
            kept.client, kept.state = None, "disconnected"
        return kept.view()

    async def _end(self, _: Call, params: SessionPath, body: contract.End) -> RdpSession:
        kept = self._kept(params)
        kept.end(body.reason)
        return kept.view()

    async def _list(self, _: Call, __: Nothing, ___: Nothing) -> contract.RdpSessions:
        return contract.RdpSessions(tuple(each.view() for each in self.sessions.values()))

    def _kept(self, params: SessionPath) -> Kept:
        if params.session not in self.sessions:
            raise NotFound(f"there is no session {params.session} here")
        return self.sessions[params.session]
