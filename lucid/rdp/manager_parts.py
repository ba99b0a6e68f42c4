"""What the handlers of rdp-manager share: its parts by key, and what a caller may know of."""

from typing import Annotated

from aiohttp import web
from msgspec import Meta

from lucid.kit import context, settings
from lucid.kit.app import Call
from lucid.kit.errors import Forbidden, NotFound
from lucid.kit.mongo import Document
from lucid.kit.routes import Access
from lucid.rdp.desktop_store import DesktopStore
from lucid.rdp.ending import Ender
from lucid.rdp.host_store import HostStore
from lucid.rdp.opening import Opener
from lucid.rdp.policy_store import PolicyStore
from lucid.rdp.watching import Watcher

FRONT = "api-gateway"
"""The service that sees who is at the other end, and is believed."""


class ManagerSettings(settings.Common, frozen=True, kw_only=True):
    """Settings of rdp-manager."""

    rdp_sessions_per_user: Annotated[
        int, Meta(ge=1, le=1000, description="desktops that one person may have at once", examples=[3])
    ] = 3
    rdp_addresses: Annotated[
        str,
        Meta(
            description="names by which people reach hosts, where they differ from their addresses",
            examples=["rdp1=rdp1.example.org,rdp2=rdp2.example.org"],
        ),
    ] = ""
    rdp_password_seconds: Annotated[
        int,
        Meta(ge=5, le=3600, description="how long a one-time password holds", extra={"unit": "seconds"}),
    ] = 120
    rdp_host_lost_seconds: Annotated[
        float,
        Meta(gt=0, description="a host silent this long has lost its desktops", extra={"unit": "seconds"}),
    ] = 30.0
    rdp_start_seconds: Annotated[
        float,
        Meta(gt=0, description="a desktop not started by then is given up", extra={"unit": "seconds"}),
    ] = 60.0
    rdp_poll_seconds: Annotated[
        float, Meta(gt=0, le=60, description="how often hosts are asked", extra={"unit": "seconds"})
    ] = 2.0
    rdp_session_memory_mb: Annotated[
        int, Meta(ge=1, description="memory that a host must have for another desktop", extra={"unit": "MiB"})
    ] = 512
    rdp_disk_reserve_mb: Annotated[
        int, Meta(ge=1, description="disk that a host must have for another desktop", extra={"unit": "MiB"})
    ] = 2048


SETTINGS = web.AppKey("settings", ManagerSettings)
DESKTOPS = web.AppKey("desktops", DesktopStore)
POLICIES = web.AppKey("policies", PolicyStore)
HOSTS = web.AppKey("hosts", HostStore)
WATCHER = web.AppKey("watcher", Watcher)
ENDER = web.AppKey("ender", Ender)
OPENER = web.AppKey("opener", Opener)


def seen_address(call: Call) -> str:
    """From where the request comes, as the gateway saw it; empty if unknown."""
    return call.request.headers.get(context.CLIENT_HEADER, "") if call.peer == FRONT else ""


def whose(call: Call, owner: str | None) -> str | None:
    """Whose things are listed: one's own; for admins those of `owner`, or everybody's. Raises Forbidden."""
    if call.user.access >= Access.ADMIN:
        return owner
    if owner not in {None, call.user.sub}:
        raise Forbidden("only admins may ask for what other people have", field="owner")
    return call.user.sub


def visible(call: Call, found: Document, what: str) -> Document:
    """It, for its owner and for admins; for others it does not exist. Raises NotFound."""
    if found["owner"] != call.user.sub and call.user.access < Access.ADMIN:
        raise NotFound(f"there is no {what} {found['_id']}")
    return found


async def desktop_of(call: Call, session: str) -> Document:
    """The desktop that a request is about. Raises NotFound."""
    return visible(call, await call.app[DESKTOPS].get(session), "desktop")
