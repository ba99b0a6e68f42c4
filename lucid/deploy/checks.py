"""What must be true of an inventory before anything is changed: rules, each with host, variable and fix."""

import ipaddress
from collections.abc import Iterator

from lucid.catalog import Catalog, Group
from lucid.deploy.site import Site

_NEEDED = (Group.EDGE, Group.CORE, Group.SESSIONS, Group.RDP, Group.DATA)


def problems(catalog: Catalog, site: Site) -> tuple[str, ...]:
    """Every reason why the site cannot be deployed; none if it can."""
    return (
        *_groups(catalog, site),
        *_data(site),
        *_ports(catalog, site),
        *_segments(site),
        *_control(site),
        *_carriers(catalog, site),
    )


def _groups(catalog: Catalog, site: Site) -> Iterator[str]:
    for group in _NEEDED:
        if not site.of_group(group):
            yield f"group {group.value}: it has no host; name one in the inventory"
    called = {catalog.services[name].group for service in catalog.services.values() for name in service.calls}
    for group in sorted(called):
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
    sockets = [
        (service.name, service.group, listen.port)
        for service in catalog.services.values()
        for listen in service.listen
    ] + [(name, store.group, port) for name, store in catalog.stores.items() for port in store.ports]
    for host in site.hosts:
        taken: dict[int, str] = {}
        for name, group, port in sockets:
            if group not in host.groups:
                continue
            if other := taken.get(port):
                yield f"host {host.name}: {name} and {other} both want port {port}; give each group its host"
            taken[port] = name


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


def _control(site: Site) -> Iterator[str]:
    for host in site.hosts:
        if not host.control:
            yield (
                f"host {host.name}: firewall_control is empty: the firewall would lock you out;"
                " name the addresses that it is administered from"
            )
