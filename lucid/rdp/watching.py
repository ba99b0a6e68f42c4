"""Asks every host how its desktops are, and brings what is written down up to date.

Several managers may do this at once: whatever one of them writes, another would have written too, and an end
is never taken back. Documents are read before their host is asked, so what the host does not know is gone.
"""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterable

import msgspec

from lucid.contracts import resource_monitor as monitor
from lucid.contracts import session_controller as controller
from lucid.kit.client import ServiceClient
from lucid.kit.errors import LucidError, Unavailable
from lucid.kit.mongo import Document
from lucid.kit.routes import NOTHING
from lucid.rdp import manager_metrics as metrics
from lucid.rdp.clock import now_ms
from lucid.rdp.desktop_store import DesktopStore
from lucid.rdp.ending import Ender
from lucid.rdp.host_store import HostStore
from lucid.rdp.placement import Candidate, Figures

ASK_SECONDS = 2.0
ANSWERS_WRITTEN = 6
"""How often it is written down that a host answers, in the time after which a silent one is lost."""
STATES = ("starting", "ready", "connected", "disconnected", "ending")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """After how many seconds something is done."""

    poll: float
    host_lost: float
    start: float


class Watcher:
    """`run` keeps looking; `candidates` tells what was seen."""

    def __init__(
        self, desktops: DesktopStore, hosts: HostStore, client: ServiceClient, ender: Ender, limits: Limits
    ) -> None:
        self._desktops = desktops
        self._hosts = hosts
        self._client = client
        self._ender = ender
        self._limits = limits
        self._figures: dict[str, Figures | None] = {}
        """Of the hosts that answered when they were asked last."""
        self._silent_since: dict[str, float] = {}
        """Monotonic seconds."""
        self._written: dict[str, float] = {}
        """When it was last written down that a host had answered, monotonic seconds."""
        self._looked = asyncio.Event()

    async def run(self) -> None:
        """Looks again and again."""
        while True:
            await asyncio.gather(self.look(), asyncio.sleep(self._limits.poll))

    async def look(self) -> None:
        """Asks every host once."""
        live = await self._desktops.live()
        by_host: dict[str, list[Document]] = defaultdict(list)
        for desktop in live:
            by_host[desktop["host"]].append(desktop)
        names = {*self.names, *by_host}  # also those that were taken out of the site
        await asyncio.gather(*(self._look_at(host, by_host[host]) for host in names))
        states = Counter(desktop["state"] for desktop in live)
        for state in STATES:
            metrics.sessions.labels(state).set(states[state])
        metrics.hosts_answering.set(len(self._figures))
        self._looked.set()

    async def candidates(self) -> list[Candidate]:
        """The site's hosts as they are known, with all desktops that are written down. Raises Unavailable."""
        try:
            async with asyncio.timeout(2 * ASK_SECONDS):
                await self._looked.wait()
        except TimeoutError:
            raise Unavailable("the hosts of desktops have not been asked yet; try again") from None
        live = await self._desktops.live()
        known = await self._hosts.all()
        return [self._candidate(host, live, known.get(host, {})) for host in self.names]

    @property
    def names(self) -> tuple[str, ...]:
        """The site's hosts of desktops."""
        return self._client.hosts(controller.SERVICE)

    async def check(self) -> None:
        """Raises Unavailable while a host of the site does not answer."""
        if away := [host for host in self.names if host not in self._figures]:
            raise Unavailable(f"these hosts do not answer: {', '.join(away)}")

    def _candidate(self, host: str, live: Iterable[Document], known: Document) -> Candidate:
        here = [desktop for desktop in live if desktop["host"] == host]
        return Candidate(
            name=host,
            answers=host in self._figures,
            draining=known.get("draining", False),
            figures=self._figures.get(host),
            sessions=len(here),
            starting=sum(desktop["state"] == "starting" for desktop in here),
        )

    async def _look_at(self, host: str, desktops: list[Document]) -> None:
        asked = self._client.call(controller.LIST, NOTHING, host=host, seconds=ASK_SECONDS)
        told, figures = await asyncio.gather(asked, self._figures_of(host), return_exceptions=True)
        if isinstance(told, LucidError):
            self._figures.pop(host, None)
            await self._silent(host, desktops)
            return
        if isinstance(told, BaseException):
            raise told
        if isinstance(figures, BaseException):
            raise figures
        self._figures[host] = figures
        self._silent_since.pop(host, None)
        await self._write_answered(host)
        sessions = {session.session: session for session in told.sessions}
        await asyncio.gather(*(self._compare(each, sessions.pop(each["_id"], None)) for each in desktops))
        await self._end_strays(host, [each for each in sessions.values() if each.state != "ended"])

    async def _compare(self, desktop: Document, told: controller.RdpSession | None) -> None:
        if told is not None:
            desktop = await self._desktops.bring(desktop, told)
        elif desktop["state"] != "starting" and not desktop["closing"]:
            detail = f"{desktop['host']} no longer knows the session: it was started anew"
            await self._desktops.close(desktop, "host_lost", detail, now_ms())
            return
        if "live" not in desktop:
            return
        left_behind = now_ms() - desktop["created_ms"] > 1000 * self._limits.start
        if desktop["state"] == "starting" and left_behind:
            detail = "whoever started it did not come to an end with it"
            desktop = await self._desktops.decide_end(desktop["_id"], "failed", detail)
        if desktop["closing"] and (told is None or told.state != "ending"):
            await self._ender.end(desktop)

    async def _end_strays(self, host: str, strays: list[controller.RdpSession]) -> None:
        """Ends what the host has and nobody else. What was written down since the look began is none."""
        written = await self._desktops.some([stray.session for stray in strays]) if strays else {}
        for stray in strays:
            desktop = written.get(stray.session)
            if desktop is None or "live" not in desktop or desktop["host"] != host:
                try:
                    await self._ender.end_stray(stray.session, host)
                except LucidError:
                    return  # at the next look

    async def _silent(self, host: str, desktops: list[Document]) -> None:
        """A host is lost once neither this manager nor any other has had an answer for too long."""
        since = self._silent_since.setdefault(host, time.monotonic())
        limit = self._limits.host_lost
        if not desktops or time.monotonic() - since < limit:
            return
        if now_ms() - await self._hosts.answered_ms(host) < 1000 * limit:
            return
        for desktop in desktops:
            detail = f"{host} was not heard of for {limit:.0f} s"
            await self._desktops.close(desktop, "host_lost", detail, now_ms())

    async def _write_answered(self, host: str) -> None:
        """Lets other managers know, often enough that none of them takes the host for lost."""
        now = time.monotonic()
        if now - self._written.get(host, float("-inf")) > self._limits.host_lost / ANSWERS_WRITTEN:
            await self._hosts.answered(host, now_ms())
            self._written[host] = now

    async def _figures_of(self, host: str) -> Figures | None:
        try:
            told = await self._client.call(monitor.HOST, NOTHING, host=host, seconds=ASK_SECONDS)
        except LucidError:
            return None
        return Figures(
            cores=told.cores,
            cpu_busy=told.cpu_share or 0.0,
            memory_free_bytes=told.memory_available_bytes,
            disk_free_bytes=told.disk_free_bytes,
        )
