"""What a deployment may have otherwise than the catalogue says: fewer services, other ports.

A service finds that in its environment, the deployment in the inventory. Pure rules, no I/O.
"""

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from lucid.catalog import Catalog, Service

OFFSET_VARIABLE = "LUCID_PORT_OFFSET"
COLUMN_VARIABLE = "LUCID_PORTS"
SERVICES_VARIABLE = "LUCID_SERVICES"
PORTS_VARIABLE = "LUCID_PUBLIC_PORTS"
HOSTS, LOCAL = "hosts", "local"
"""The catalogue's columns of ports: for groups on hosts of their own, and for one shared machine."""
MAX_OFFSET = 30_000
MAX_PORT = 65_535


def deployed(found: "Catalog", environ: Mapping[str, str]) -> "Catalog":
    """The catalogue as the environment has it.

    LUCID_PORTS: `local` puts local ports in the place of the others. LUCID_SERVICES: the services that there
    are, with commas; empty: all. LUCID_PUBLIC_PORTS: where people reach them, as `api-gateway:8000`, with
    commas. LUCID_PORT_OFFSET: a number that is added to every local port, so that several stacks can share a
    machine. Raises ValueError that begins with the variable.
    """
    readers: dict[str, Callable[[Catalog, str], Catalog]] = {
        OFFSET_VARIABLE: lambda known, text: shifted(known, _offset(text)),
        COLUMN_VARIABLE: placed,
        SERVICES_VARIABLE: lambda known, text: only(known, _listed(text)),
        PORTS_VARIABLE: lambda known, text: moved(known, _ports(_listed(text))),
    }
    for variable, read in readers.items():
        if text := environ.get(variable):
            try:
                found = read(found, text)
            except ValueError as error:
                raise ValueError(f"{variable}: {error}") from None
    return found


def variables(services: Collection[str], ports: Mapping[str, int]) -> dict[str, str]:
    """What `deployed` is to be told of these; nothing where nothing differs."""
    told = {
        SERVICES_VARIABLE: ",".join(sorted(services)),
        PORTS_VARIABLE: ",".join(f"{name}:{port}" for name, port in sorted(ports.items())),
    }
    return {name: text for name, text in told.items() if text}


def only(found: "Catalog", names: Collection[str]) -> "Catalog":
    """The catalogue with these services and no others, which nobody calls then.

    Raises ValueError for a name that it lacks, and for a service without one that it needs.
    """
    for name in names:
        _known(found, name)
    services = {}
    for name in found.services:
        if name not in names:
            continue
        service = found.services[name]
        for callee in service.calls:
            if callee not in names and callee not in service.optional:
                raise ValueError(f"{name} cannot do without {callee}; name that too")
        calls = tuple(callee for callee in service.calls if callee in names)
        services[name] = msgspec.structs.replace(service, calls=calls)
    return msgspec.structs.replace(found, services=services)


def moved(found: "Catalog", ports: Mapping[str, int]) -> "Catalog":
    """The catalogue with these ports, by service, for the sockets at which people reach them.

    Raises ValueError for a service that it lacks or that has no such socket, and for what is no port.
    """
    services = dict(found.services)
    for name, port in ports.items():
        service = _known(found, name)
        if not any(item.tls == "server" for item in service.listen):
            open_to_people = [s.name for s in found.services.values() if s.entry.tls == "server"]
            raise ValueError(f"{name} has no socket for people; {', '.join(open_to_people)} has")
        if not 0 < port <= MAX_PORT:
            raise ValueError(f"{port} of {name} is no port; they go from 1 to {MAX_PORT}")
        listen = tuple(
            msgspec.structs.replace(item, port=port) if item.tls == "server" else item
            for item in service.listen
        )
        services[name] = msgspec.structs.replace(service, listen=listen)
    return msgspec.structs.replace(found, services=services)


def placed(found: "Catalog", column: str) -> "Catalog":
    """The catalogue with the ports of this column at the services' sockets.

    Raises ValueError for what is no column.
    """
    if column not in {HOSTS, LOCAL}:
        raise ValueError(f"`{column}` is neither {HOSTS} nor {LOCAL}")
    if column == HOSTS:
        return found
    replace = msgspec.structs.replace
    services = {}
    for name, service in found.services.items():
        listen = tuple(replace(item, port=item.local_port) for item in service.listen)
        services[name] = replace(service, listen=listen)
    return replace(found, services=services)


def shifted(found: "Catalog", offset: int) -> "Catalog":
    """The catalogue with `offset` added to every local port."""
    replace = msgspec.structs.replace
    stores = {n: replace(s, local_port=s.local_port + offset) for n, s in found.stores.items()}
    services = {}
    for name, service in found.services.items():
        listen = tuple(replace(item, local_port=item.local_port + offset) for item in service.listen)
        services[name] = replace(service, listen=listen)
    return replace(found, services=services, stores=stores)


def _known(found: "Catalog", name: str) -> "Service":
    if name not in found.services:
        raise ValueError(f"`{name}` is none of the services {', '.join(found.services)}")
    return found.services[name]


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",")]


def _ports(pairs: Collection[str]) -> dict[str, int]:
    found = {}
    for pair in pairs:
        name, _, port = pair.partition(":")
        if not port.isdecimal():
            raise ValueError(f"`{pair}` does not read as api-gateway:8000")
        found[name] = int(port)
    return found


def _offset(text: str) -> int:
    if not text.isdecimal() or int(text) > MAX_OFFSET:
        raise ValueError(f"{text!r} is not a number from 0 to {MAX_OFFSET}")
    return int(text)
