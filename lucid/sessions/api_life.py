"""What becomes of a session after its end: legal hold and erasure."""

import time

from aiohttp import web

from lucid.contracts import session_api as contract
from lucid.contracts.session_access import SetHold
from lucid.contracts.types import SessionPath
from lucid.kit.app import Call, Handlers
from lucid.kit.routes import Nothing
from lucid.sessions.api_access import ACCESS, require_on_log
from lucid.sessions.api_session import owned
from lucid.sessions.api_store import view
from lucid.sessions.erasure import Eraser
from lucid.sessions.life_store import LifeStore

LIFE = web.AppKey("life", LifeStore)
ERASER = web.AppKey("eraser", Eraser)

handlers = Handlers()


@handlers.on(contract.ERASE)
async def erase(call: Call, params: SessionPath, _: Nothing) -> contract.Session:
    """Decides on the erasure; the rest follows in the background and cannot be stopped."""
    await owned(call, params.session)
    now_ms = time.time_ns() // 1_000_000
    record = await call.app[LIFE].begin_erasure(params.session, "request", now_ms)
    call.app[ERASER].wake()
    return view(record)


@handlers.on(contract.HOLD)
async def hold(call: Call, params: SessionPath, body: SetHold) -> contract.Session:
    """Begins or ends a legal hold. In doubt it holds: it is set before it is anchored, lifted afterwards."""
    await owned(call, params.session)
    await require_on_log(call, params)
    if body.held:
        await call.app[LIFE].set_hold(params.session, held=True)
    await call.app[ACCESS].record_hold(params.session, call.user.sub, body.reason, held=body.held)
    return view(await call.app[LIFE].set_hold(params.session, held=body.held))
