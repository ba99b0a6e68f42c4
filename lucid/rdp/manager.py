"""rdp-manager: desktops as people see them, the hosts that they are on, and the policies that bind them."""

from collections.abc import AsyncIterator

from aiohttp import web

from lucid.catalog import database_of
from lucid.contracts import auth_service as auth
from lucid.contracts import rdp_manager as contract
from lucid.kit import app as kit
from lucid.kit import mongo, settings
from lucid.kit.app import Handlers
from lucid.kit.client import CLIENT
from lucid.kit.health import CHECKS
from lucid.kit.identity import verifying
from lucid.kit.launch import service_client
from lucid.kit.tasks import TASKS
from lucid.kit.tokens import VERIFIER
from lucid.rdp import manager_desktops, manager_hosts, policies
from lucid.rdp.addresses import public_addresses
from lucid.rdp.desktop_store import DesktopStore
from lucid.rdp.ending import Ender
from lucid.rdp.host_store import HostStore
from lucid.rdp.manager_parts import (
    DESKTOPS,
    ENDER,
    HOSTS,
    OPENER,
    POLICIES,
    SETTINGS,
    WATCHER,
    ManagerSettings,
)
from lucid.rdp.opening import Opener
from lucid.rdp.policy_store import PolicyStore
from lucid.rdp.watching import Limits, Watcher

MONGO = web.AppKey("mongo", mongo.Database)

handlers = Handlers(manager_desktops.handlers, manager_hosts.handlers, policies.handlers)


async def create() -> web.Application:
    """The application of rdp-manager. Raises SettingsError."""
    found = settings.load(ManagerSettings)
    try:
        public_addresses(found.rdp_addresses)
    except ValueError as error:
        raise settings.SettingsError(f"cannot start: RDP_ADDRESSES: {error}") from None
    client = service_client(found, contract.SERVICE)
    verifier, fresh = verifying(client, auth.JWKS, auth.REVOCATIONS)

    async def resources(app: web.Application) -> AsyncIterator[None]:
        app[SETTINGS] = found
        desktops = app[DESKTOPS] = DesktopStore(app[MONGO])
        hosts = app[HOSTS] = HostStore(app[MONGO])
        app[POLICIES] = PolicyStore(app[MONGO])
        for store in (desktops, app[POLICIES]):
            await store.prepare()
        ender = app[ENDER] = Ender(desktops, app[CLIENT])
        app[OPENER] = Opener(desktops, app[CLIENT], ender, password_seconds=found.rdp_password_seconds)
        limits = Limits(
            poll=found.rdp_poll_seconds, host_lost=found.rdp_host_lost_seconds, start=found.rdp_start_seconds
        )
        watcher = app[WATCHER] = Watcher(desktops, hosts, app[CLIENT], ender, limits)
        app[CHECKS].add("hosts", watcher.check, needed=False)
        app[TASKS].start("watcher", watcher.run)
        yield

    database = mongo.context(found.mongodb_url, database_of(contract.SERVICE), MONGO)
    service = kit.build(contract.SERVICE, handlers, resources=[database, fresh, resources], client=client)
    service[VERIFIER] = verifier
    return service
