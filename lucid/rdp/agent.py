"""xrdp, the agent: starts and ends desktops and their listeners, each in its slot, through systemd.

It runs nothing itself and is no root: units do, whose text the deployment wrote. It writes what they read,
asks systemd to start and stop them, and says who may log in.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import msgspec
from aiohttp import web

from lucid.contracts import xrdp as contract
from lucid.kit import app as kit
from lucid.kit import settings
from lucid.kit.app import Call, Handlers
from lucid.kit.health import CHECKS
from lucid.kit.routes import NOTHING, Nothing
from lucid.rdp.desks import Desks
from lucid.rdp.login_server import serve_logins
from lucid.rdp.systemd import Systemd


class AgentSettings(settings.Common, frozen=True, kw_only=True):
    """Where its slots are."""

    slots_directory: Annotated[str, msgspec.Meta(description="directory of the slots, writable")] = (
        contract.SLOTS_DIRECTORY
    )


DESKS = web.AppKey("desks", Desks)

handlers = Handlers()


@handlers.on(contract.PREPARE)
async def prepare(call: Call, params: contract.SlotPath, body: contract.Desktop) -> contract.Shown:
    """Starts a desktop that nobody can reach."""
    return await call.app[DESKS].prepare(params.port, body)


@handlers.on(contract.ADMIT)
async def admit(call: Call, params: contract.SlotPath, body: contract.Admission) -> contract.Admitted:
    """Listens, for one client and one login."""
    return await call.app[DESKS].admit(params.port, body)


@handlers.on(contract.CLOSE)
async def close(call: Call, params: contract.SlotPath, _: Nothing) -> Nothing:
    """Listens no more."""
    await call.app[DESKS].close(params.port)
    return NOTHING


@handlers.on(contract.END)
async def end(call: Call, params: contract.SlotPath, _: Nothing) -> Nothing:
    """Ends a desktop and removes all that belongs to it."""
    await call.app[DESKS].end(params.port)
    return NOTHING


@handlers.on(contract.GET)
async def get(call: Call, params: contract.SlotPath, _: Nothing) -> contract.Slot:
    """What is in a slot."""
    return await call.app[DESKS].view(params.port)


@handlers.on(contract.LIST)
async def list_slots(call: Call, _params: Nothing, _: Nothing) -> contract.Slots:
    """All slots in use."""
    return await call.app[DESKS].views()


async def create() -> web.Application:
    """The application of the agent."""
    found = settings.load(AgentSettings)

    async def resources(app: web.Application) -> AsyncIterator[None]:
        systemd = Systemd()
        try:
            desks = Desks(Path(found.slots_directory), systemd)
            await asyncio.to_thread(desks.recover)
            app[DESKS] = desks
            app[CHECKS].add("systemd", systemd.check)
            async with serve_logins(desks.log_in):
                yield
        finally:
            systemd.close()

    return kit.build(contract.SERVICE, handlers, resources=[resources])
