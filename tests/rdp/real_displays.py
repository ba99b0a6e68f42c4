"""The agent's contract on real X servers, one for each slot. There is no systemd here, and nobody speaks RDP:

who logs in and who leaves, a test says.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from lucid.contracts import xrdp as contract
from lucid.kit import app as kit
from lucid.kit.app import Call, Handlers
from lucid.kit.errors import Conflict, LucidError, NotFound
from lucid.kit.routes import NOTHING, Nothing
from tests.sessions.screens import Screen, StartScreen


@dataclass
class Desk:
    """What is in a slot."""

    desktop: contract.Desktop
    screen: Screen
    admission: contract.Admission | None = None
    clients: tuple[str, ...] = ()
    logged_in_ms: int | None = None


@dataclass
class RealDisplays:
    """All slots. Outlives the service that answers for it, as units outlive the agent."""

    start_screen: StartScreen
    desks: dict[int, Desk] = field(default_factory=dict)
    told: list[tuple[str, int]] = field(default_factory=list)
    """What it was told to do, by operation and port."""
    refuses: LucidError | None = None
    """What PREPARE fails with."""
    may_prepare: asyncio.Event = field(default_factory=asyncio.Event)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    starting: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.may_prepare.set()
        self.may_end.set()

    def log_in(self, port: int) -> None:
        """Whoever is admitted comes."""
        desk = self.desks[port]
        assert desk.admission is not None, "nobody is admitted"
        desk.clients, desk.admission = (desk.admission.client,), None
        desk.logged_in_ms = time.time_ns() // 1_000_000

    def leave(self, port: int) -> None:
        """Whoever is connected goes."""
        self.desks[port].clients = ()

    async def log_out(self, port: int) -> None:
        """The desktop ends by itself."""
        await _end(self.desks[port].screen)

    def close(self, port: int) -> None:
        """Cuts off."""
        if desk := self.desks.get(port):
            desk.clients, desk.admission = (), None

    async def end(self, port: int) -> None:
        """Removes all."""
        if desk := self.desks.get(port):
            await _end(desk.screen)
            self.desks.pop(port, None)

    def slot(self, port: int) -> contract.Slot:
        """As callers see it."""
        desk = self.desks[port]
        return contract.Slot(
            port=port,
            session=desk.desktop.session,
            desktop="running" if desk.screen.server.poll() is None else "over",
            listening=bool(desk.admission or desk.clients),
            clients=desk.clients,
            logged_in_ms=desk.logged_in_ms,
        )

    @asynccontextmanager
    async def served(self, port: int, context: ssl.SSLContext) -> AsyncIterator[None]:
        """Answers at this port of loopback."""
        app = kit.build(contract.SERVICE, handlers)
        app[DISPLAYS] = self
        runner = web.AppRunner(app, shutdown_timeout=0.2)
        try:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
            yield
        finally:
            await runner.cleanup()


async def _end(screen: Screen) -> None:
    screen.server.terminate()
    await asyncio.to_thread(screen.server.wait)


DISPLAYS = web.AppKey("displays", RealDisplays)

handlers = Handlers()


@handlers.on(contract.PREPARE)
async def prepare(call: Call, params: contract.SlotPath, body: contract.Desktop) -> contract.Shown:
    """Starts an X server."""
    displays = call.app[DISPLAYS]
    displays.told.append(("prepare", params.port))
    await displays.may_prepare.wait()
    if displays.refuses is not None:
        raise displays.refuses
    desk = displays.desks.get(params.port)
    if desk is None:
        async with displays.starting:  # one at a time: it numbers their files
            screen = await asyncio.to_thread(displays.start_screen, f"{body.width}x{body.height}")
        desk = displays.desks[params.port] = Desk(body, screen)
    if desk.desktop != body:
        raise Conflict(f"port {params.port} is another session's")
    return contract.Shown(display=f":{desk.screen.number}", cookie=desk.screen.cookie.hex())


@handlers.on(contract.ADMIT)
async def admit(call: Call, params: contract.SlotPath, body: contract.Admission) -> contract.Admitted:
    """Lets one client in."""
    displays = call.app[DISPLAYS]
    displays.told.append(("admit", params.port))
    if params.port not in displays.desks:
        raise NotFound(f"nothing is at port {params.port}")
    desk = displays.desks[params.port]
    desk.admission, desk.clients, desk.logged_in_ms = body, (), None
    return contract.Admitted(certificate_sha256="c" * 64)


@handlers.on(contract.CLOSE)
async def close(call: Call, params: contract.SlotPath, _: Nothing) -> Nothing:
    """Cuts off."""
    call.app[DISPLAYS].told.append(("close", params.port))
    call.app[DISPLAYS].close(params.port)
    return NOTHING


@handlers.on(contract.END)
async def end(call: Call, params: contract.SlotPath, _: Nothing) -> Nothing:
    """Ends the X server."""
    displays = call.app[DISPLAYS]
    displays.told.append(("end", params.port))
    await displays.may_end.wait()
    await displays.end(params.port)
    return NOTHING


@handlers.on(contract.LIST)
async def list_slots(call: Call, _params: Nothing, _: Nothing) -> contract.Slots:
    """All slots."""
    displays = call.app[DISPLAYS]
    return contract.Slots(tuple(displays.slot(port) for port in displays.desks))
