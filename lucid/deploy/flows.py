"""Who may open a connection to whom: the firewall's rules before they are rules.

Everything follows from the catalogue (services, stores, observers, exporters) and the inventory. What is not
here is dropped, on the sender's host by its unix user and on the receiver's by the sender's address.
"""

from collections.abc import Iterator

import msgspec

from lucid.catalog import Carrier, Catalog, Tls
from lucid.deploy.public_certificate import Acme
from lucid.deploy.site import Host, Site

ANYBODY = "anybody"
CONTROL = "control"
ADMITTED = "admitted"
"""Whom the agent of the RDP host has let in, for a while."""
SSH = 22


class Flow(msgspec.Struct, frozen=True, order=True):
    """TCP connections that may be opened."""

    source: str
    """A host, ANYBODY, ADMITTED or CONTROL."""
    user: str
    """Unix user on the source; empty where the source is no host of the site."""
    destination: str
    """A host."""
    port: int
    why: str
    last: int = 0
    """The last of a range of ports that begins with `port`; 0: there is only that one."""
    group: bool = False
    """Whether `user` is the group of users that are lent to programs and have no lasting names."""


def flows(catalog: Catalog, site: Site) -> tuple[Flow, ...]:
    """All flows between the site's hosts and into them, in order, none twice."""
    found = {
        *_calls(catalog, site),
        *_stores(catalog, site),
        *_observers(catalog, site),
        *_exporters(catalog, site),
        *_carriers(catalog, site),
        *_listeners(catalog, site),
        *_doors(catalog, site),
    }
    return tuple(sorted(found))


def _calls(catalog: Catalog, site: Site) -> Iterator[Flow]:
    for service in catalog.services.values():
        for name in service.calls:
            callee = catalog.services[name]
            for source, destination in _pairs(site.of_group(service.group), site.of_group(callee.group)):
                why = f"{service.name} calls {name}"
                yield Flow(source.name, service.user, destination.name, callee.entry.port, why)


def _stores(catalog: Catalog, site: Site) -> Iterator[Flow]:
    for name, store in catalog.stores.items():
        members = site.of_group(store.group)
        for port in store.ports:
            for source, destination in _pairs(members, members):
                yield Flow(source.name, store.user, destination.name, port, f"members of {name}")
                if source != destination:  # the role sees to all members from one of them
                    yield Flow(source.name, "root", destination.name, port, f"members of {name}, set up")
            for service in catalog.services.values():
                if name in service.stores:
                    for source, destination in _pairs(site.of_group(service.group), members):
                        why = f"{service.name} uses {name}"
                        yield Flow(source.name, service.user, destination.name, port, why)


def _observers(catalog: Catalog, site: Site) -> Iterator[Flow]:
    """An observer with a group asks everything everywhere; one without asks its own host, on loopback."""
    for name, observer in catalog.observers.items():
        if observer.group is None:
            continue
        for source in site.of_group(observer.group):
            for exporter in catalog.exporters.values():
                for host in site.hosts:
                    yield Flow(source.name, observer.user, host.name, exporter.port, f"{name} observes")
            for service in catalog.services.values():
                for host in site.of_group(service.group) if service.mutual else ():
                    yield Flow(source.name, observer.user, host.name, service.entry.port, f"{name} observes")
            for port in observer.ports:
                yield Flow(source.name, observer.user, source.name, port, f"{name} and its own")


def _exporters(catalog: Catalog, site: Site) -> Iterator[Flow]:
    """A service that anybody may connect to tells what it measures on loopback; the exporter passes it on."""
    for name, exporter in catalog.exporters.items():
        for service in catalog.services.values():
            for listen in service.listen:
                for host in site.of_group(service.group) if listen.plain else ():
                    why = f"{name} relays {service.name}"
                    yield Flow(host.name, exporter.user, host.name, listen.port, why)


def _carriers(catalog: Catalog, site: Site) -> Iterator[Flow]:
    """A carrier connects to the sockets that are for it, on its own host, and to its own."""
    for name, carrier in catalog.carriers.items():
        for host in site.of_group(carrier.group):
            if name in host.carriers:
                for port in carrier.ports:
                    yield Flow(host.name, carrier.user, host.name, port, f"{name} and its own")
                yield from _carried(catalog, host, name, carrier)


def _carried(catalog: Catalog, host: Host, name: str, carrier: Carrier) -> Iterator[Flow]:
    for service in catalog.services.values():
        for listen in service.listen:
            if listen.carrier == name and service.group in host.groups:
                why = f"{name} brings people to {service.name}"
                yield Flow(host.name, carrier.user, host.name, listen.port, why)


def _listeners(catalog: Catalog, site: Site) -> Iterator[Flow]:
    """What a service starts for people is open to those whom it has admitted, and asks it who they are."""
    for name, listener in catalog.listeners.items():
        first, last = listener.ports
        for host in _running(catalog, site, listener.service):
            yield Flow(ADMITTED, "", host.name, first, f"people use {name}", last)
            why = f"{name} asks {listener.service}"
            yield Flow(host.name, listener.user, host.name, listener.asks, why, group=True)


def _running(catalog: Catalog, site: Site, service: str) -> tuple[Host, ...]:
    found = catalog.services.get(service)
    return site.of_group(found.group) if found else ()


def _doors(catalog: Catalog, site: Site) -> Iterator[Flow]:
    """What is open to those who are no hosts of the site."""
    for host in site.hosts:
        yield Flow(CONTROL, "", host.name, SSH, "administration")
        if isinstance(host.certificate, Acme):
            why = "a certificate authority asks whether names are this host's"
            yield Flow(ANYBODY, "", host.name, host.certificate.http_port, why)
    for service in catalog.services.values():
        for listen in service.listen:
            if listen.tls is Tls.SERVER:
                for host in site.of_group(service.group):
                    yield Flow(ANYBODY, "", host.name, listen.port, f"people use {service.name}")


def _pairs(sources: tuple[Host, ...], destinations: tuple[Host, ...]) -> Iterator[tuple[Host, Host]]:
    return ((source, destination) for source in sources for destination in destinations)
