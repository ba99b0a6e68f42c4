"""session-controller: the life of the RDP sessions of its host, from the first process to the last file."""

import asyncio
import socket
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
from aiohttp import web

from lucid.contracts import session_controller as contract
from lucid.contracts import xrdp
from lucid.contracts.types import SessionPath
from lucid.kit import app as kit
from lucid.kit import health, settings
from lucid.kit.app import Call, Handlers
from lucid.kit.client import CLIENT
from lucid.kit.health import CHECKS
from lucid.kit.launch import service_client
from lucid.kit.routes import Nothing
from lucid.kit.tasks import TASKS
from lucid.rdp import life
from lucid.rdp.book import Book
from lucid.rdp.judging import Terms
from lucid.rdp.keeper import Keeper
from lucid.rdp.life import End
from lucid.rdp.peers import Peers
from lucid.rdp.records import Records
from lucid.rdp.watch import Watch

BOOT = Path("/proc/sys/kernel/random/boot_id")


class ControllerSettings(settings.Common, frozen=True, kw_only=True):
    """How long a desktop waits for people."""

    host_name: Annotated[str, msgspec.Meta(description="this host's name; empty: ask the system")] = ""
    boot_id: Annotated[
        str, msgspec.Meta(description="names this boot of the host; empty: ask the kernel")
    ] = ""
    """A unit says it: its sandbox hides the kernel's own."""
    first_login_seconds: Annotated[
        float,
        msgspec.Meta(
            ge=1,
            le=86_400,
            description="how long after an admission a desktop that nobody has used yet waits for a login",
            extra={"unit": "seconds"},
            examples=[300],
        ),
    ] = 300.0
    disconnected_seconds: Annotated[
        float,
        msgspec.Meta(
            ge=1,
            le=604_800,
            description="how long a desktop waits for somebody to come back",
            extra={"unit": "seconds"},
            examples=[900],
        ),
    ] = 900.0


KEEPER = web.AppKey("keeper", Keeper)

handlers = Handlers()


@handlers.on(contract.BEGIN)
async def begin(call: Call, params: SessionPath, body: contract.Begin) -> contract.RdpSession:
    """Starts a desktop and its recording."""
    return life.view(await call.app[KEEPER].begin(params.session, body))


@handlers.on(contract.ADMIT)
async def admit(call: Call, params: SessionPath, body: xrdp.Admission) -> xrdp.Admitted:
    """Lets one client log in once."""
    return await call.app[KEEPER].admit(params.session, body)


@handlers.on(contract.DISCONNECT)
async def disconnect(call: Call, params: SessionPath, _: Nothing) -> contract.RdpSession:
    """Cuts off whoever is connected; the desktop lives on."""
    return life.view(await call.app[KEEPER].disconnect(params.session))


@handlers.on(contract.END)
async def end(call: Call, params: SessionPath, body: contract.End) -> contract.RdpSession:
    """Ends a session for good."""
    why = End(body.reason, "its end was asked for")
    return life.view(await call.app[KEEPER].end(params.session, why))


@handlers.on(contract.GET)
async def get(call: Call, params: SessionPath, _: Nothing) -> contract.RdpSession:
    """A session of this host."""
    return life.view(call.app[KEEPER].book.find(params.session))


@handlers.on(contract.LIST)
async def list_sessions(call: Call, _params: Nothing, _: Nothing) -> contract.RdpSessions:
    """All sessions of this host."""
    return contract.RdpSessions(tuple(map(life.view, call.app[KEEPER].book.known.values())))


async def create() -> web.Application:
    """The application of session-controller."""
    found = settings.load(ControllerSettings)
    host = found.host_name or socket.gethostname()
    boot = found.boot_id or (await asyncio.to_thread(BOOT.read_text)).strip()
    terms = Terms(first_login=found.first_login_seconds, disconnected=found.disconnected_seconds)

    async def resources(app: web.Application) -> AsyncIterator[None]:
        book = Book(Records(Path(found.state_directory) / "sessions"))
        keeper = app[KEEPER] = Keeper(book, Peers(app[CLIENT], host), app[TASKS], boot)
        await keeper.recover()
        app[CHECKS].add("records", book.check)
        for callee in app[kit.SERVICE].calls:
            app[CHECKS].add(callee, partial(health.ask, app[CLIENT], callee), needed=False)
        app[TASKS].start("watch", Watch(keeper, terms).run)
        yield
        await app[TASKS].close()

    return kit.build(
        contract.SERVICE,
        handlers,
        resources=[resources],
        client=service_client(found, contract.SERVICE),
    )
