"""Opens desktops: written down, recorded, started, and only then reachable, by one client, once.

A step that fails takes back those before it. What a manager that died had begun, the watchers take back.
"""

import asyncio
import time
from dataclasses import dataclass, field

from lucid.contracts import rdp_manager as contract
from lucid.contracts import session_api
from lucid.contracts import session_controller as controller
from lucid.contracts.managed_sessions import CreateManaged
from lucid.contracts.types import SessionPath
from lucid.contracts.xrdp import Admission
from lucid.kit import context
from lucid.kit.client import ServiceClient
from lucid.kit.errors import Code, Conflict, LucidError, NotFound, Unavailable
from lucid.kit.mongo import Document
from lucid.kit.routes import NOTHING
from lucid.kit.tasks import to_its_end
from lucid.rdp import manager_metrics as metrics
from lucid.rdp import one_time_password
from lucid.rdp.clock import now_ms
from lucid.rdp.desktop_store import DesktopStore
from lucid.rdp.ending import END_SECONDS, Ender

OPEN_SECONDS = contract.OPEN_SECONDS - END_SECONDS - 2.0
"""For all steps, so that taking them back is done before the answer is due. Well below the time after which a
start counts as left behind by a manager that died."""
REACHABLE = ("ready", "connected", "disconnected")
"""States in which a client may be let in."""


@dataclass(frozen=True)
class Admitted:
    """What a person needs to log in once."""

    desktop: Document
    password: str = field(repr=False)
    expires_ms: int
    certificate_sha256: str


class Opener:
    """Opens desktops that are written down, and lets clients in."""

    def __init__(
        self, desktops: DesktopStore, client: ServiceClient, ender: Ender, *, password_seconds: int
    ) -> None:
        self._desktops = desktops
        self._client = client
        self._ender = ender
        self._password_seconds = password_seconds

    async def open(self, desktop: Document, asked: contract.CreateRdpSession, address: str) -> Admitted:
        """Starts a desktop and lets one client in from `address`. Raises LucidError, and leaves nothing."""
        begun = time.perf_counter()
        reason: controller.Ending = "not_recorded"
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await self._write_down(desktop, asked)
                reason = "failed"
                await self._begin(desktop)
                admitted = await self.admit(await self._desktops.begun(desktop["_id"]), address)
        except BaseException as error:
            # Nobody's deadline is the undoing's, and it speaks for nobody.
            detail = error.message if isinstance(error, LucidError) else "its start was broken off"
            undoing = self._ender.undo(desktop["_id"], reason, detail)
            await to_its_end(asyncio.wait([asyncio.create_task(undoing, context=context.detached())]))
            metrics.created_total.labels("failed").inc()
            if isinstance(error, TimeoutError):
                raise Unavailable("the desktop was not started in time", code=Code.TIMEOUT) from None
            raise
        metrics.created_total.labels("opened").inc()
        metrics.open_seconds.observe(time.perf_counter() - begun)
        return admitted

    async def admit(self, desktop: Document, address: str) -> Admitted:
        """Lets one client in from `address`, once; whoever is connected is cut off. Raises LucidError."""
        check_reachable(desktop)
        password = one_time_password.generate()
        admission = Admission(
            client=address,
            password_sha256=one_time_password.digest(password),
            seconds=self._password_seconds,
        )
        expires = now_ms() + 1000 * self._password_seconds
        try:
            told = await self._client.call(
                controller.ADMIT, SessionPath(desktop["_id"]), admission, host=desktop["host"]
            )
        except NotFound:
            raise Conflict("the desktop has just ended", code=Code.SESSION_STATE, state="ended") from None
        return Admitted(desktop, password, expires, told.certificate_sha256)

    async def _write_down(self, desktop: Document, asked: contract.CreateRdpSession) -> None:
        """Has the recording written down, before there is anything to record."""
        record = CreateManaged(
            session=desktop["_id"],
            owner=desktop["owner"],
            name=asked.name,
            frame_rate=asked.frame_rate,
            quality=asked.quality,
            max_bytes=asked.max_bytes,
            retention_days=asked.retention_days,
            trust=desktop["trust"],
            host=desktop["host"],
        )
        await self._client.call(session_api.CREATE_MANAGED, NOTHING, record)

    async def _begin(self, desktop: Document) -> None:
        """Has the desktop started and recorded; nobody can reach it yet."""
        begin = controller.Begin(
            port=desktop["port"], trust=desktop["trust"], width=desktop["width"], height=desktop["height"]
        )
        path = SessionPath(desktop["_id"])
        await self._client.call(controller.BEGIN, path, begin, host=desktop["host"], seconds=OPEN_SECONDS)


def check_reachable(desktop: Document) -> None:
    """Raises Conflict 4007 where no client can be connected."""
    if (state := desktop["state"]) not in REACHABLE:
        raise Conflict(
            f"the desktop is {state}; only one that is {', '.join(REACHABLE)} has clients",
            code=Code.SESSION_STATE,
            state=state,
        )
