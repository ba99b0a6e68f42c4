"""What no single entry of the catalogue can show: that they name each other rightly, and share no port."""

import graphlib
from typing import TYPE_CHECKING, NamedTuple

import yaml

from lucid.catalog_reader import Reader

if TYPE_CHECKING:
    from lucid.catalog import Catalog

MONGODB = "mongodb"
REDIS = "redis"
"""The stores that a service needs a database in, and keys."""


class Nodes(NamedTuple):
    """Where the entries stand in the catalogue's text, by name."""

    services: dict[str, yaml.Node]
    stores: dict[str, yaml.Node]
    listeners: dict[str, yaml.Node]


def check(catalog: "Catalog", reader: Reader, nodes: Nodes) -> None:
    """Raises CatalogError at the line of what contradicts another entry."""
    _check_calls(catalog, reader, nodes.services)
    _check_stores(catalog, reader, nodes.services)
    _check_collections(catalog, reader, nodes.services)
    _check_carriers(catalog, reader, nodes.services)
    _check_ports(catalog, reader, nodes)
    _check_order(catalog, reader, nodes.services)
    _check_listeners(catalog, reader, nodes.listeners)


def _check_order(catalog: "Catalog", reader: Reader, nodes: dict[str, yaml.Node]) -> None:
    try:
        catalog.start_order()
    except graphlib.CycleError as error:
        cycle = error.args[1][::-1]  # graphlib names the callee first
        at = reader.find(nodes[cycle[0]], "$.calls")
        raise reader.fail(at, "these services call each other in a circle: " + " → ".join(cycle)) from None


def _check_calls(catalog: "Catalog", reader: Reader, nodes: dict[str, yaml.Node]) -> None:
    for service in catalog.services.values():
        node = nodes[service.name]
        for i, callee in enumerate(service.calls):
            at = reader.find(node, f"$.calls[{i}]")
            if callee not in catalog.services:
                raise reader.fail(at, f"service {service.name} calls `{callee}`, which the catalogue lacks")
            if callee == service.name:
                raise reader.fail(at, f"service {service.name} calls itself")
        for i, name in enumerate(service.optional):
            if name not in service.calls:
                at = reader.find(node, f"$.optional[{i}]")
                raise reader.fail(at, f"service {service.name} does not call `{name}`, so it is not optional")


def _check_stores(catalog: "Catalog", reader: Reader, nodes: dict[str, yaml.Node]) -> None:
    for service in catalog.services.values():
        node = nodes[service.name]
        for i, store in enumerate(service.stores):
            if store not in catalog.stores:
                at = reader.find(node, f"$.stores[{i}]")
                raise reader.fail(at, f"service {service.name} uses store `{store}`, which is not declared")
        if (service.database is None) == (MONGODB in service.stores):
            wanted = "no database" if service.database else f"`database`, its own in {MONGODB}"
            raise reader.fail(node, f"service {service.name} needs {wanted}: it must fit its stores")
        if bool(service.keys) != (REDIS in service.stores):
            wanted = "no keys" if service.keys else f"`keys`, what its keys in {REDIS} begin with"
            raise reader.fail(node, f"service {service.name} needs {wanted}: they must fit its stores")


def _check_collections(catalog: "Catalog", reader: Reader, nodes: dict[str, yaml.Node]) -> None:
    owners: dict[tuple[str | None, str], str] = {}
    for service in catalog.services.values():
        node = nodes[service.name]
        if (service.database is None) == bool(service.collections):
            wanted = "`collections`, those that are its own" if service.database else "no collections"
            raise reader.fail(node, f"service {service.name} needs {wanted}: they must fit its database")
        for i, name in enumerate(service.collections):
            if other := owners.get((service.database, name)):
                at = reader.find(node, f"$.collections[{i}]")
                raise reader.fail(at, f"collection {name} of {service.name} belongs to {other}")
            owners[service.database, name] = service.name


def _check_carriers(catalog: "Catalog", reader: Reader, nodes: dict[str, yaml.Node]) -> None:
    for service in catalog.services.values():
        for i, listen in enumerate(service.listen):
            if listen.carrier is None:
                continue
            at = reader.find(nodes[service.name], f"$.listen[{i}].carrier")
            carrier = catalog.carriers.get(listen.carrier)
            if carrier is None or carrier.group is not service.group:
                raise reader.fail(at, f"group {service.group.value} has no carrier `{listen.carrier}`")
            if listen.tls != "none" or i == 0:
                raise reader.fail(at, "a carrier's socket has `tls: none` and stands behind another one")


def _check_listeners(catalog: "Catalog", reader: Reader, nodes: dict[str, yaml.Node]) -> None:
    for name, listener in catalog.listeners.items():
        first, last = listener.ports
        for field, service in (("service", listener.service), ("announced", listener.announced)):
            if service not in catalog.services:
                at = reader.find(nodes[name], f"$.{field}")
                raise reader.fail(at, f"listener {name} names `{service}`, which the catalogue lacks")
        if not listener.asks < first < last:
            at = reader.find(nodes[name], "$.ports")
            raise reader.fail(at, f"listener {name} needs `ports`, the first below the last, above `asks`")


def _check_ports(catalog: "Catalog", reader: Reader, nodes: Nodes) -> None:
    sockets = [
        (name, store.group, store.ports, store.local_port, nodes.stores[name])
        for name, store in catalog.stores.items()
    ] + [
        (service.name, service.group, (listen.port,), listen.local_port, reader.find(node, f"$.listen[{i}]"))
        for service, node in (
            (service, nodes.services[service.name]) for service in catalog.services.values()
        )
        for i, listen in enumerate(service.listen)
    ]
    everywhere = {exporter.port: name for name, exporter in catalog.exporters.items()}
    taken = {(each.group, port): name for name, each in catalog.carriers.items() for port in each.ports}
    local: dict[int, str] = {}
    for name, group, ports, local_port, node in sockets:
        for port in ports:
            if other := taken.get((group, port)) or everywhere.get(port):
                at = reader.find(node, "$.port")
                raise reader.fail(at, f"port {port} of {name} is taken by {other} in group {group.value}")
            taken[group, port] = name
        if other := local.get(local_port):
            at = reader.find(node, "$.local_port")
            raise reader.fail(at, f"local_port {local_port} of {name} is taken by {other}")
        local[local_port] = name
