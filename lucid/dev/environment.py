"""The environment of each service: what the catalogue grants it, and nothing more."""

import os
import socket
from collections.abc import Mapping

from lucid import catalog, variants
from lucid.dev import credentials
from lucid.dev.layout import State
from lucid.kit import hosts
from lucid.kit.client import variable

LOOPBACK = "127.0.0.1"
DRAIN_SECONDS = 1.0
"""Shorter than on hosts: when the whole stack stops, nobody comes back on a kept connection."""
DEFAULTS = {"BLOCK_TIME_SECONDS": "5", "ANCHOR_INTERVAL_SECONDS": "10", "RECORDER_LOST_SECONDS": "300"}
"""Settings that may be given to the whole stack in its own environment, and their values if they are not."""
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LOG_LEVEL", catalog.OFFSET_VARIABLE)


def standing() -> catalog.Catalog:
    """The catalogue without the services that need more than one machine's processes have."""
    found = catalog.load()
    return variants.only(found, [name for name, service in found.services.items() if not service.needs])


def local_url(service: catalog.Service) -> str:
    """Base URL of a service on this machine."""
    scheme = "http" if service.entry.tls is catalog.Tls.NONE else "https"
    return f"{scheme}://{LOOPBACK}:{service.entry.local_port}"


def of_service(
    service: catalog.Service,
    services: Mapping[str, catalog.Service],
    state: State,
    stores: Mapping[str, str],
) -> dict[str, str]:
    """The variables of one service. `stores` gives the URL of each store by its name in the catalogue.

    Its state and credentials directories are made if they are missing.
    """
    kept = state.service(service.name)
    kept.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return (
        found
        | {
            **{name: os.environ.get(name, value) for name, value in DEFAULTS.items()},
            "ENVIRONMENT": "development",
            "LUCID_PORTS": "local",
            **variants.variables(services, {}),
            "BIND_ADDRESS": LOOPBACK,
            "DRAIN_SECONDS": str(DRAIN_SECONDS),
            "STATE_DIRECTORY": str(kept),
            "TLS_DIRECTORY": str(state.tls),
            "CREDENTIALS_DIRECTORY": str(credentials.ensure(state, service.name)),
        }
        | {f"{store.upper()}_URL": stores[store] for store in service.stores}
        | {variable(callee): local_url(services[callee]) for callee in service.calls}
        | _by_host(service, services)
    )


def _by_host(service: catalog.Service, services: Mapping[str, catalog.Service]) -> dict[str, str]:
    """The callees that may have several hosts, on the one that there is: it has the system's own name."""
    found = catalog.load()
    return {
        hosts.variable(callee): hosts.written({socket.gethostname(): local_url(services[callee])})
        for callee in service.calls
        if found.may_have_several(services[callee].group)
    }
