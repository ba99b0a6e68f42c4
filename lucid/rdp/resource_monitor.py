"""resource-monitor: measures the RDP sessions of its host, and the host. It limits nothing: slices do."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import msgspec
from aiohttp import web

from lucid.contracts import resource_monitor as contract
from lucid.contracts.xrdp import SlotPath
from lucid.kit import app as kit
from lucid.kit import metrics, settings
from lucid.kit.app import Call, Handlers
from lucid.kit.errors import NotFound, Unavailable
from lucid.kit.health import CHECKS
from lucid.kit.logs import log
from lucid.kit.routes import Nothing
from lucid.kit.tasks import TASKS, to_its_end
from lucid.rdp import looking
from lucid.rdp.looking import Looking, Places
from lucid.rdp.measuring import Measured, Measuring
from lucid.rdp.monitor_metrics import Figures

STALE_INTERVALS = 3
"""After as many without a measurement nothing is told any more: old figures would pass for new ones."""


class MonitorSettings(settings.Common, frozen=True, kw_only=True):
    """What is measured, and how often."""

    monitor_interval_seconds: Annotated[
        float,
        msgspec.Meta(ge=0.1, le=60, description="time between measurements", extra={"unit": "seconds"}),
    ] = 5.0
    monitor_cgroup_root: Annotated[
        str, msgspec.Meta(description="where control groups are mounted", examples=["/sys/fs/cgroup"])
    ] = "/sys/fs/cgroup"
    monitor_proc: Annotated[
        str, msgspec.Meta(description="where the kernel's figures are mounted", examples=["/proc"])
    ] = "/proc"
    monitor_disk: Annotated[
        str,
        msgspec.Meta(
            description="directory on the disk of the spools; empty: the one above the state directory",
            examples=["/var/lib/lucid"],
        ),
    ] = ""


class Monitor:
    """Measures, and has the last figures at hand."""

    def __init__(self, looking: Looking, interval: float) -> None:
        self._looking = looking
        self._interval = interval
        self._measuring = Measuring()
        self._last: Measured | None = None

    @property
    def last(self) -> Measured:
        """The last figures. Raises Unavailable where there are none that are new enough."""
        age = None if self._last is None else time.monotonic() - self._last.at
        if self._last is None or age is None or age > STALE_INTERVALS * self._interval:
            said = (
                "no measurement was made yet" if age is None else f"the last measurement is {age:.0f} s old"
            )
            raise Unavailable(f"{said}; /health names the error")
        return self._last

    async def check(self) -> None:
        """For /health: raises while there are no figures."""
        _ = self.last

    async def run(self) -> None:
        """Measures for ever."""
        while True:
            # To its end: a thread cannot be cancelled, and what it reads from is closed after this task.
            reading = await to_its_end(asyncio.to_thread(self._looking.look))
            self._last = self._measuring.enter(reading)
            await asyncio.sleep(self._interval)


MONITOR = web.AppKey("monitor", Monitor)

handlers = Handlers()


@handlers.on(contract.HOST)
async def host(call: Call, _: Nothing, __: Nothing) -> contract.Host:
    """The host."""
    return call.app[MONITOR].last.host


@handlers.on(contract.SESSIONS)
async def sessions(call: Call, _: Nothing, __: Nothing) -> contract.Sessions:
    """All its sessions."""
    return call.app[MONITOR].last.sessions


@handlers.on(contract.SESSION)
async def session(call: Call, params: SlotPath, _: Nothing) -> contract.Session:
    """One of them."""
    found = call.app[MONITOR].last.session(params.port)
    if found is None:
        raise NotFound(f"no session is at port {params.port} of this host")
    return found


async def create() -> web.Application:
    """The application of resource-monitor."""
    found = settings.load(MonitorSettings)
    places = Places(
        Path(found.monitor_proc),
        Path(found.monitor_cgroup_root),
        Path(found.monitor_disk or Path(found.state_directory).parent),
    )

    async def resources(app: web.Application) -> AsyncIterator[None]:
        connections = looking.connections()
        looks = Looking(places, connections)
        app[MONITOR] = Monitor(looks, found.monitor_interval_seconds)
        app[CHECKS].add("measurements", app[MONITOR].check)
        if connections is None:
            log.warning("the kernel tells nothing of TCP connections: sessions have no network figures")
        app[TASKS].start("measuring", app[MONITOR].run)
        with metrics.passing(Figures(lambda: app[MONITOR].last)):
            yield
        looks.close()

    return kit.build(contract.SERVICE, handlers, resources=[resources])
