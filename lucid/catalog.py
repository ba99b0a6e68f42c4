"""The service catalogue: `catalog.yml`, read once into frozen, typed values.

Everything that depends on which services exist (ports, URLs, admitted certificates, start order) asks here.
A catalogue that contradicts itself is refused with file, line and reason; nothing starts from half of one.
"""

from __future__ import annotations

import graphlib
import os
from enum import StrEnum
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import yaml

from lucid import catalog_checks, variants
from lucid.catalog_checks import Nodes
from lucid.catalog_reader import CatalogError, Reader

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{1,40}$")]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Memory = Annotated[str, msgspec.Meta(pattern=r"^[1-9][0-9]*[MG]$")]
Database = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z_]{1,40}$")]
Collection = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z_]{1,40}$")]
Credential = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z_]{1,40}$")]
UnitName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z-]{1,40}\.service$")]
Directory = Annotated[str, msgspec.Meta(pattern=r"^/run/lucid-[a-z-]+$")]
Dotted = Annotated[str, msgspec.Meta(pattern=r"^lucid(\.[a-z_]+)+$")]
Factory = Annotated[str, msgspec.Meta(pattern=r"^lucid(\.[a-z_]+)+:[a-z_]+$")]

_SECTIONS = ("groups", "stores", "observers", "exporters", "carriers", "listeners", "services")
OFFSET_VARIABLE = variants.OFFSET_VARIABLE


class Tls(StrEnum):
    """How a socket is protected."""

    MUTUAL = "mutual"
    SERVER = "server"
    NONE = "none"


class Sight(StrEnum):
    """What a service may see of its host beyond its own files."""

    HOST = "host"
    """Figures of the whole host in /proc; not the kernel's settings there, nor other programs."""
    CONNECTIONS = "connections"
    """The TCP connections of all programs: ends and bytes, by netlink."""
    DISPLAYS = "displays"
    """The sockets of X servers, for whoever has their cookies."""


class Group(StrEnum):
    """Host groups: services of one group may share a host, so their ports must differ."""

    EDGE = "edge"
    CORE = "core"
    SESSIONS = "sessions"
    RDP = "rdp"
    DATA = "data"
    SUPPORT = "support"
    TRON = "tron"


class Placement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A host group whose services are called."""

    hosts: Literal["one", "several"]
    """How many it may have: with several, a service of it is called on a certain one."""


class Listen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One named socket of a service."""

    name: Name
    port: Port
    """TCP port on hosts."""
    local_port: Port
    """TCP port on the single machine, where all groups share one address."""
    tls: Tls
    carrier: Name | None = None
    """The only program that connects: it heads each connection with whose it is (PROXY protocol)."""

    @property
    def plain(self) -> bool:
        """Whether programs of the same host speak HTTP here."""
        return self.tls is Tls.NONE and self.carrier is None


class Store(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A database server."""

    group: Group
    user: Name
    """The unix user that it runs as."""
    unit: UnitName
    """Its systemd unit, which reads a renewed certificate on reload."""
    ports: Annotated[tuple[Port, ...], msgspec.Meta(min_length=1)]
    local_port: Port
    """What the first port is on the single machine."""


class Observer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A program that asks services and exporters how they are."""

    user: Name
    group: Group | None = None
    """Where it runs; None: on every host, and asks that host only."""
    ports: tuple[Port, ...] = ()
    """What it listens on, on loopback."""


class Exporter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A program on every host that tells observers about the host."""

    user: Name
    port: Port


class Carrier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A program that carries other people's connections to a service on its own host."""

    user: Name
    group: Group
    ports: tuple[Port, ...]
    """What it listens on, on loopback."""


class Listener(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A program that a service starts for people, one for each session."""

    user: Name
    service: Name
    ports: tuple[Port, Port]
    """The first and the last."""
    asks: Port
    """Where it asks the service who may log in, on loopback."""
    announced: Name
    """The service that tells people where they are."""


class Service(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One service, as the catalogue declares it."""

    name: Name
    cluster: Name
    group: Group
    app: Factory
    contract: Dotted
    listen: Annotated[tuple[Listen, ...], msgspec.Meta(min_length=1)]
    workers: Annotated[int, msgspec.Meta(ge=1, le=64)]
    memory: Memory
    """MemoryMax, in systemd's notation."""
    cpu: Annotated[int, msgspec.Meta(ge=1)]
    """CPUQuota, percent of one core."""
    stores: tuple[Name, ...]
    calls: tuple[Name, ...]
    optional: tuple[Name, ...] = ()
    """Those of its callees that a deployment may be without."""
    expose: bool = False
    database: Database | None = None
    """Where in MongoDB its collections are, if it uses that."""
    collections: tuple[Collection, ...] = ()
    """What it keeps there, and no other service may touch."""
    keys: tuple[Name, ...] = ()
    """What its keys in Redis begin with, behind `lucid:`; services that name the same share them."""
    credentials: tuple[Credential, ...] = ()
    units: tuple[Name, ...] = ()
    """What systemd starts for it on hosts, each time as another user: `lucid-NAME.socket`, `lucid-NAME@`."""
    groups: tuple[Name, ...] = ()
    """Unix groups that it is in beside its own."""
    writes: tuple[Directory, ...] = ()
    """Directories that it may write to beside its own."""
    needs: Literal["systemd"] | None = None
    """What the single-machine stack does not have, so that the service is no part of it."""
    reads: tuple[Sight, ...] = ()
    """What it may see of its host; without this, nothing."""
    reloads: bool = True
    """Whether its processes can be replaced, the new ones beside the old."""

    @property
    def user(self) -> str:
        """The unix user and group that it runs as on hosts."""
        return f"lucid-{self.name}"

    @property
    def mutual(self) -> bool:
        """Whether every caller has to show a certificate of this deployment."""
        return all(listen.tls is Tls.MUTUAL for listen in self.listen)

    @property
    def entry(self) -> Listen:
        """The socket that other services and people connect to: the first one."""
        return self.listen[0]


class Catalog(msgspec.Struct, frozen=True):
    """All services and stores of a deployment."""

    services: dict[str, Service]
    stores: dict[str, Store]
    observers: dict[str, Observer]
    exporters: dict[str, Exporter]
    carriers: dict[str, Carrier]
    listeners: dict[str, Listener]
    groups: dict[Group, Placement]

    def may_have_several(self, group: Group) -> bool:
        """Whether the services of a group are called on a certain host, by its name."""
        return group in self.groups and self.groups[group].hosts == "several"

    def callers_of(self, name: str) -> frozenset[str]:
        """The services whose certificate `name` admits."""
        return frozenset(s.name for s in self.services.values() if name in s.calls)

    def start_order(self) -> tuple[str, ...]:
        """Service names, each after all that it calls."""
        graph = {s.name: s.calls for s in self.services.values()}
        return tuple(graphlib.TopologicalSorter(graph).static_order())

    def exposed(self) -> tuple[Service, ...]:
        """The services behind the gateway."""
        return tuple(s for s in self.services.values() if s.expose)


@cache
def load() -> Catalog:
    """The catalogue that belongs to this version of Lucid, as this deployment has it: `lucid.variants`.

    Raises CatalogError.
    """
    try:
        return variants.deployed(shipped(), os.environ)
    except ValueError as error:
        raise CatalogError("the environment", 1, str(error)) from None


@cache
def shipped() -> Catalog:
    """The catalogue that belongs to this version of Lucid, whatever the environment says.

    Sites are made from it. Raises CatalogError.
    """
    path = resources.files("lucid") / "catalog.yml"
    return parse(path.read_text(encoding="utf-8"), "catalog.yml")


def database_of(name: str) -> str:
    """The database of a service in MongoDB. Raises LookupError for a service that has none."""
    database = load().services[name].database
    if database is None:
        raise LookupError(f"the catalogue gives {name} no database")
    return database


def load_file(path: Path) -> Catalog:
    """Reads another catalogue; raises CatalogError naming the line at fault."""
    return parse(path.read_text(encoding="utf-8"), str(path))


def parse(text: str, source: str) -> Catalog:
    """Catalogue text to typed values. Raises CatalogError with file, line and reason."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise CatalogError(source, line, f"not YAML: {error.problem}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise CatalogError(source, line, f"not YAML: {error.reason}") from None
    if root is None:
        raise CatalogError(source, 1, "the file is empty")
    reader = Reader(source)
    top = reader.mapping(root, "the catalogue")
    for key in _SECTIONS:
        if key not in top:
            raise CatalogError(source, 1, f"section `{key}` is missing")
    for key, node in top.items():
        if key not in _SECTIONS:
            raise CatalogError(source, reader.line(node), f"unknown section `{key}`")
    store_nodes = reader.mapping(top["stores"], "stores")
    stores = reader.section(top["stores"], Store, "store")
    observers = reader.section(top["observers"], Observer, "observer")
    exporters = reader.section(top["exporters"], Exporter, "exporter")
    carriers = reader.section(top["carriers"], Carrier, "carrier")
    listeners = reader.section(top["listeners"], Listener, "listener")
    service_nodes = reader.mapping(top["services"], "services")
    services = {
        name: reader.convert(node, Service, f"service {name}", {"name": name})
        for name, node in service_nodes.items()
    }
    groups = _groups(reader, top["groups"], services)
    catalog = Catalog(services, stores, observers, exporters, carriers, listeners, groups)
    nodes = Nodes(service_nodes, store_nodes, reader.mapping(top["listeners"], "listeners"))
    catalog_checks.check(catalog, reader, nodes)
    return catalog


def _groups(reader: Reader, node: yaml.Node, services: dict[str, Service]) -> dict[Group, Placement]:
    found = reader.section(node, Placement, "group")
    called = {services[name].group for each in services.values() for name in each.calls if name in services}
    for name, at in reader.mapping(node, "groups").items():
        if name not in set(Group):
            raise reader.fail(at, f"group {name} is none of {', '.join(Group)}")
        if name not in called:
            raise reader.fail(at, f"group {name}: nobody calls its services, so it needs no entry here")
    return {Group(name): placement for name, placement in found.items()}
