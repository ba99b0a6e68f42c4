"""Whom session-controller asks: the agent and the recorder of its own host, and session-api."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from lucid.contracts import session_api, session_recorder, xrdp
from lucid.contracts.managed_sessions import StartManaged
from lucid.contracts.session_access import ReportViolation
from lucid.contracts.types import SessionPath
from lucid.kit.client import ServiceClient
from lucid.kit.errors import Code, Conflict, LucidError, NotFound
from lucid.rdp.judging import Word
from lucid.rdp.life import Record, Violation

LOOK_SECONDS = 2.0
"""How long a look may take: the next one is due soon."""
PREPARE_SECONDS = 30.0
START_SECONDS = 40.0
"""Longer than session-api gives the recorder."""
STEP_SECONDS = 5.0
"""How long one step of an end is waited for. What takes longer is done again."""
END_SECONDS = 15.0


class Said(NamedTuple):
    """What the recorder says; of a recording that is over, also why. Evictions as in its contract."""

    word: Word
    end_reason: str | None = None
    evictions: int = 0


@dataclass
class Peers:
    """Asks them. `host` is what session-api calls this host."""

    client: ServiceClient
    host: str
    _ports: dict[int, asyncio.Lock] = field(default_factory=dict, init=False)

    @asynccontextmanager
    async def alone_at(self, port: int) -> AsyncIterator[None]:
        """Whoever is in here is the only one to do anything to this slot."""
        async with self._ports.setdefault(port, asyncio.Lock()):
            yield

    async def slots(self) -> tuple[xrdp.Slot, ...]:
        """What the agent has in its slots."""
        return (await self.client.call(xrdp.LIST, xrdp.LIST.params(), seconds=LOOK_SECONDS)).slots

    async def prepare(self, record: Record) -> xrdp.Shown:
        """Has the desktop started."""
        begin = record.begin
        desktop = xrdp.Desktop(
            session=record.session, trust=begin.trust, width=begin.width, height=begin.height
        )
        path = xrdp.SlotPath(begin.port)
        return await self.client.call(xrdp.PREPARE, path, desktop, seconds=PREPARE_SECONDS)

    async def admit(self, port: int, admission: xrdp.Admission) -> xrdp.Admitted:
        """Lets one client in."""
        return await self.client.call(xrdp.ADMIT, xrdp.SlotPath(port), admission)

    async def close(self, port: int) -> None:
        """Cuts the client off."""
        await self.client.call(xrdp.CLOSE, xrdp.SlotPath(port), seconds=STEP_SECONDS)

    async def end(self, port: int) -> None:
        """Ends the desktop; nothing of it is left."""
        await self.client.call(xrdp.END, xrdp.SlotPath(port), seconds=END_SECONDS)

    async def record(self, session: str, shown: xrdp.Shown) -> None:
        """Has the desktop recorded; the first fragment is durable on return."""
        start = StartManaged(display=shown.display, cookie=shown.cookie, host=self.host)
        await self.client.call(session_api.START_MANAGED, SessionPath(session), start, seconds=START_SECONDS)

    async def stop_recording(self, session: str, reason: session_recorder.Stop) -> None:
        """Ends the recording. One that session-api does not have, or closes by itself, has ended."""
        stop = session_recorder.StopRecording(session, reason)
        try:
            await self.client.call(session_api.STOP_MANAGED, stop, seconds=STEP_SECONDS)
        except NotFound:
            return
        except Conflict as error:
            if error.code is not Code.SESSION_STATE:
                raise

    async def recording(self, session: str) -> Said:
        """What the recorder says of the session."""
        try:
            found = await self.client.call(session_recorder.GET, SessionPath(session), seconds=LOOK_SECONDS)
        except NotFound:
            return Said("unknown")
        except LucidError:
            return Said("unreachable")
        if found.state == "recording":
            return Said("recording", None, found.evictions)
        return Said("over", found.end_reason or found.state, found.evictions)

    async def report(self, session: str, violation: Violation) -> None:
        """Has a violation put on the log. Of a session that is nothing to session-api there is no log."""
        said = ReportViolation(kind=violation.kind, detail=violation.detail, time_ms=violation.time_ms)
        try:
            await self.client.call(session_api.VIOLATION, SessionPath(session), said, seconds=STEP_SECONDS)
        except NotFound:
            return
