"""Desktops as people ask for them: open, list, connect again, disconnect, end."""

import uuid

from lucid.contracts import rdp_manager as contract
from lucid.contracts import session_controller as controller
from lucid.contracts.types import SessionPath
from lucid.contracts.xrdp import USER_NAME
from lucid.evidence import policy as trust
from lucid.kit.app import Call, Handlers
from lucid.kit.client import CLIENT
from lucid.kit.errors import Code, Conflict, LucidError, NotFound, Unavailable
from lucid.kit.routes import NOTHING, Nothing
from lucid.rdp import manager_metrics as metrics
from lucid.rdp import rdp_file
from lucid.rdp.addresses import client_address, public_addresses
from lucid.rdp.clock import now_ms
from lucid.rdp.desktop_store import view
from lucid.rdp.manager_parts import (
    DESKTOPS,
    ENDER,
    OPENER,
    SETTINGS,
    WATCHER,
    desktop_of,
    seen_address,
    visible,
    whose,
)
from lucid.rdp.opening import Admitted, check_reachable
from lucid.rdp.placement import MIB, Need, NoRoomError, choose
from lucid.rdp.policies import owned_policy

handlers = Handlers()


@handlers.on(contract.CREATE)
async def create(call: Call, _: Nothing, body: contract.CreateRdpSession) -> contract.Connection:
    """Written down first, with a port that is nobody else's; then everything in its order."""
    try:
        policy = await owned_policy(call, body.policy)
        address = client_address(body.client, seen_address(call))
        desktop = await call.app[DESKTOPS].add(
            {
                "_id": str(uuid.uuid4()),
                "name": body.name,
                "owner": call.user.sub,
                "host": await _place(call),
                "state": "starting",
                "policy": policy["_id"],
                "trust": policy["envelope"],
                "trust_sha256": policy["sha256"],
                "width": body.width,
                "height": body.height,
                "created_ms": now_ms(),
                "ended_ms": None,
                "ending": None,
                "detail": None,
                "client": None,
                "closing": None,
            },
            quota=call.app[SETTINGS].rdp_sessions_per_user,
        )
    except LucidError:
        metrics.created_total.labels("refused").inc()
        raise
    return _connection(call, await call.app[OPENER].open(desktop, body, address))


@handlers.on(contract.LIST)
async def list_desktops(call: Call, params: contract.RdpSessionsQuery, _: Nothing) -> contract.RdpSessions:
    """Mine; everybody's for admins."""
    store = call.app[DESKTOPS]
    chosen = {"owner": whose(call, params.owner), "state": params.state, "host": params.host}
    before = await desktop_of(call, params.before) if params.before else None
    found = await store.page(
        {name: value for name, value in chosen.items() if value is not None}, params.limit + 1, before
    )
    page = found[: params.limit]
    more = page[-1]["_id"] if len(found) > params.limit else None
    return contract.RdpSessions(tuple(view(desktop) for desktop in page), more)


@handlers.on(contract.GET)
async def get(call: Call, params: SessionPath, _: Nothing) -> contract.RdpSession:
    """One desktop."""
    return view(await desktop_of(call, params.session))


@handlers.on(contract.CONNECT)
async def connect(call: Call, params: SessionPath, body: contract.Connect) -> contract.Connection:
    """For its owner alone: an admin may end a desktop, not sit down at it."""
    desktop = visible(call, await call.app[DESKTOPS].get(params.session), "desktop")
    if desktop["owner"] != call.user.sub:
        raise NotFound(f"there is no desktop {params.session} of yours")
    address = client_address(body.client, seen_address(call))
    return _connection(call, await call.app[OPENER].admit(desktop, address))


@handlers.on(contract.DISCONNECT)
async def disconnect(call: Call, params: SessionPath, _: Nothing) -> contract.RdpSession:
    """Cuts off whoever is connected."""
    desktop = await desktop_of(call, params.session)
    check_reachable(desktop)
    try:
        told = await call.app[CLIENT].call(controller.DISCONNECT, params, host=desktop["host"])
    except NotFound:
        raise Conflict("the desktop has just ended", code=Code.SESSION_STATE, state="ended") from None
    return view(await call.app[DESKTOPS].bring(desktop, told))


@handlers.on(contract.END)
async def end(call: Call, params: SessionPath, _: Nothing) -> contract.RdpSession:
    """Decided at once; `ending` until its host has done it."""
    desktop = await desktop_of(call, params.session)
    return view(await call.app[ENDER].end(await call.app[DESKTOPS].decide_end(desktop["_id"], "requested")))


async def _place(call: Call) -> str:
    config = call.app[SETTINGS]
    need = Need(memory_bytes=config.rdp_session_memory_mb * MIB, disk_bytes=config.rdp_disk_reserve_mb * MIB)
    try:
        return choose(await call.app[WATCHER].candidates(), need)
    except NoRoomError as error:
        raise Unavailable(f"no host can take another desktop now: {error}") from None


def _connection(call: Call, admitted: Admitted) -> contract.Connection:
    desktop = admitted.desktop
    host = desktop["host"]
    public = public_addresses(call.app[SETTINGS].rdp_addresses)
    address = public.get(host) or call.app[CLIENT].url(controller.LIST, NOTHING, host).host or host
    return contract.Connection(
        session=view(desktop),
        address=address,
        port=desktop["port"],
        user=USER_NAME,
        password=admitted.password,
        expires_ms=admitted.expires_ms,
        certificate_sha256=admitted.certificate_sha256,
        rdp_file=rdp_file.render(
            address=address,
            port=desktop["port"],
            user=USER_NAME,
            width=desktop["width"],
            height=desktop["height"],
            allowed=trust.allowed(trust.verify(desktop["trust"].encode())),
        ),
    )
