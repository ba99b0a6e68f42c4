"""What must be true of an inventory before anything is changed: rules, each with host, variable and fix."""

import ipaddress
from collections.abc import Iterator

from lucid.catalog import Catalog, Group, Tls
from lucid.deploy.public_certificate import VARIABLE, Acme, Own
from lucid.deploy.site import Host, Site
from lucid.variants import HOSTS


def problems(catalog: Catalog, site: Site) -> tuple[str, ...]:
    """Every reason why the site cannot be deployed; none if it can."""
    return (
        *_groups(catalog, site),
        *_data(site),
        *_ports(catalog, site),
        *_segments(site),
        *_control(site),
        *_carriers(catalog, site),
        *_certificates(catalog, site),
    )


def _groups(catalog: Catalog, site: Site) -> Iterator[str]:
    services = catalog.services.values()
    needed = {s.group for s in services} | {catalog.stores[name].group for s in services for name in s.stores}
    for group in Group:
        if group in needed and not site.of_group(group):
            yield f"group {group.value}: it has no host; name one in the inventory"
    called = {catalog.services[name].group for service in catalog.services.values() for name in service.calls}
    for group in sorted(group for group in called if not catalog.may_have_several(group)):
        if len(hosts := site.of_group(group)) > 1:
            names = ", ".join(host.name for host in hosts)
            yield f"group {group.value}: {names}: its services are called at one address; keep one host in it"


def _data(site: Site) -> Iterator[str]:
    if (count := len(site.of_group(Group.DATA))) and count % 2 == 0:
        yield (
            f"group data: {count} hosts; a replica set needs an odd number,"
            " as an even one survives no more failures than one host less"
        )


def _ports(catalog: Catalog, site: Site) -> Iterator[str]:
    """Groups whose ports clash may not share a host."""
    way_out = "give each group its host" + (", or set lucid_ports: local" if site.ports == HOSTS else "")
    for host in site.hosts:
        taken: dict[int, str] = {}
        for name, port in _sockets(catalog, host):
            if other := taken.get(port):
                yield f"host {host.name}: {name} and {other} both want port {port}; {way_out}"
            taken[port] = name


def _sockets(catalog: Catalog, host: Host) -> Iterator[tuple[str, int]]:
    """What listens on a host, and where."""
    for service in catalog.services.values():
        if service.group in host.groups:
            yield from ((service.name, listen.port) for listen in service.listen)
    for name, store in catalog.stores.items():
        yield from ((name, port) for port in store.ports if store.group in host.groups)
    for name, observer in catalog.observers.items():
        yield from ((name, port) for port in observer.ports if observer.group in host.groups)
    yield from ((name, exporter.port) for name, exporter in catalog.exporters.items())
    for name, carrier in catalog.carriers.items():
        yield from ((name, port) for port in carrier.ports if name in host.carriers)
    for name, listener in catalog.listeners.items():
        owner = catalog.services.get(listener.service)
        if owner is not None and owner.group in host.groups:
            first, last = listener.ports
            yield from ((name, port) for port in (listener.asks, *range(first, last + 1)))


def _segments(site: Site) -> Iterator[str]:
    """The TRON hosts share no network with the others, nor a host with another group."""
    others = [host for host in site.hosts if Group.TRON not in host.groups]
    for host in site.of_group(Group.TRON):
        if host.groups != {Group.TRON}:
            yield f"host {host.name}: it is in group tron and in others; a TRON host runs nothing else"
        mine = ipaddress.ip_network(f"{host.address}/24", strict=False)
        for other in others:
            if other.address in mine:
                yield (
                    f"host {host.name}: lucid_address {host.address} is on the segment of {other.name}"
                    f" ({other.address}); TRON hosts have a segment of their own"
                )
                break


def _carriers(catalog: Catalog, site: Site) -> Iterator[str]:
    """A carrier runs on a host of its group, and on one only: it has one address and one key."""
    for name, carrier in catalog.carriers.items():
        hosts = [host for host in site.hosts if name in host.carriers]
        for host in hosts:
            if carrier.group not in host.groups:
                yield f"host {host.name}: lucid_carriers names {name}, which belongs to group {carrier.group}"
        if len(hosts) > 1:
            names = ", ".join(host.name for host in hosts)
            yield f"hosts {names}: lucid_carriers names {name} on each of them; leave it on one"


def _certificates(catalog: Catalog, site: Site) -> Iterator[str]:
    """A certificate for people is for hosts that people reach; its authority asks at a port of its own."""
    sockets = [(service, item) for service in catalog.services.values() for item in service.listen]
    public = {service.group for service, item in sockets if item.tls is Tls.SERVER}
    for host in site.hosts:
        if not isinstance(host.certificate, Own) and not public & host.groups:
            groups = ", ".join(sorted(public))
            yield f"host {host.name}: {VARIABLE} is for hosts that people reach, which are those of {groups}"
        if isinstance(host.certificate, Acme):
            for service, item in sockets:
                if service.group in host.groups and item.port == host.certificate.http_port:
                    yield f"host {host.name}: {VARIABLE}: http_port {item.port} is the port of {service.name}"


def _control(site: Site) -> Iterator[str]:
    for host in site.hosts:
        if not host.control:
            yield (
                f"host {host.name}: firewall_control is empty: the firewall would lock you out;"
                " name the addresses that it is administered from"
            )
