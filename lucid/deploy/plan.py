"""What each host of a site gets: services, settings, unix users, certificates, database users.

A callee of the same host is called at that host's address, another at the first host of its group. Where the
catalogue says that a group may have several hosts, all addresses come along, by host.
"""

import ipaddress

import msgspec

from lucid import variants
from lucid.catalog import Catalog, Service, Tls
from lucid.catalog_checks import MONGODB, REDIS
from lucid.deploy import public_certificate
from lucid.deploy.errors import SiteError
from lucid.deploy.public_certificate import Acme, Own
from lucid.deploy.site import Host, Site
from lucid.kit import hosts
from lucid.kit.client import variable
from lucid.kit.tls import internal_name

TLS_ROOT = "/etc/lucid/tls"
REPLICA_SET = "lucid"
MASTER = "lucid"
"""Under which Sentinel knows the Redis master."""
PROBE = "lucid-probe"


class Socket(msgspec.Struct, frozen=True):
    """A socket unit."""

    name: str
    address: str
    """As in ListenStream=."""


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """A service as its unit files need it."""

    name: str
    cluster: str
    user: str
    description: str
    memory: str
    cpu: int
    reloads: bool
    sockets: tuple[Socket, ...]
    credentials: tuple[str, ...]
    units: tuple[str, ...]
    """Sockets at which systemd starts programs for it."""
    groups: tuple[str, ...]
    writes: tuple[str, ...]
    reads: tuple[str, ...]
    """What it may see of its host: `lucid.catalog.Sight`."""
    after: tuple[str, ...]
    """Units of services on the same host that it calls."""
    environment: dict[str, str]
    public: bool
    """Whether anybody may connect, not only the site's hosts."""


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate that a host needs."""

    name: str
    unit: str
    """OU of its subject."""
    group: str
    """Unix group that may read the key."""
    dns: tuple[str, ...]
    addresses: tuple[str, ...]
    reload: str = ""
    """The systemd unit that reads it anew on reload."""


class DatabaseUser(msgspec.Struct, frozen=True):
    """A user of MongoDB, who shows the certificate of a service, and the collections that are its own."""

    name: str
    database: str
    collections: tuple[str, ...]


class RedisUser(msgspec.Struct, frozen=True):
    """A user of Redis, who is a service, and patterns of the keys that it may use."""

    name: str
    keys: tuple[str, ...]


def units(catalog: Catalog, site: Site, host: Host) -> tuple[Unit, ...]:
    """The services of a host, each after those on the same host that it calls."""
    here = [catalog.services[name] for name in catalog.start_order()]
    return tuple(_unit(catalog, site, host, service) for service in here if service.group in host.groups)


def _unit(catalog: Catalog, site: Site, host: Host, service: Service) -> Unit:
    return Unit(
        name=service.name,
        cluster=service.cluster,
        user=service.user,
        description=f"Lucid {service.name}",
        memory=service.memory,
        cpu=service.cpu,
        reloads=service.reloads,
        sockets=tuple(
            Socket(item.name, f"127.0.0.1:{item.port}" if item.tls is Tls.NONE else f"[::]:{item.port}")
            for item in service.listen
        ),
        credentials=service.credentials,
        units=tuple(f"lucid-{name}.socket" for name in service.units),
        groups=service.groups,
        writes=service.writes,
        reads=tuple(sight.value for sight in service.reads),
        after=tuple(
            f"lucid-{name}.service" for name in service.calls if catalog.services[name].group in host.groups
        ),
        environment=environment(catalog, site, host, service)
        | _announced(catalog, site, service)
        | _carried(host, service)
        | _shown(host, service)
        | {f"{name.upper()}_SOCKET": f"/run/lucid-{name}/socket" for name in service.units},
        public=any(item.tls is Tls.SERVER for item in service.listen),
    )


def environment(catalog: Catalog, site: Site, host: Host, service: Service) -> dict[str, str]:
    """The settings that follow from the catalogue and the inventory; none of them is a secret."""
    directory = f"{TLS_ROOT}/{service.name}"
    found = {
        "TLS_DIRECTORY": directory,
        variants.COLUMN_VARIABLE: site.ports,
        "HOST_NAME": host.name,
    }
    found |= variants.variables(site.services, site.public_ports)
    if MONGODB in service.stores:
        found["MONGODB_URL"] = mongodb_url(catalog, site, directory, service.name)
    if REDIS in service.stores:
        found["REDIS_URL"] = redis_url(catalog, site)
    for name in service.calls:
        callee = catalog.services[name]
        found[variable(name)] = _url(callee, host if callee.group in host.groups else _first(site, callee))
        if catalog.may_have_several(callee.group):
            urls = {each.name: _url(callee, each) for each in site.of_group(callee.group)}
            found[hosts.variable(name)] = hosts.written(urls)
    return found


def _url(service: Service, host: Host) -> str:
    """Where other services reach a service on a host."""
    scheme = "http" if service.entry.tls is Tls.NONE else "https"
    return f"{scheme}://{host.address}:{service.entry.port}"


def _announced(catalog: Catalog, site: Site, service: Service) -> dict[str, str]:
    """By which names people reach what other services start for them, where the inventory has such names."""
    return {
        f"{name.upper()}_ADDRESSES": ",".join(f"{host.name}={host.public_names[0]}" for host in named)
        for name, listener in catalog.listeners.items()
        if listener.announced == service.name
        and (named := [h for h in site.of_group(catalog.services[listener.service].group) if h.public_names])
    }


def _carried(host: Host, service: Service) -> dict[str, str]:
    """Where a service reads how those are that bring it people, if they run on its host."""
    names = [each.carrier for each in service.listen if each.carrier and each.carrier in host.carriers]
    return {f"{name.upper()}_STATUS": f"/run/lucid-{name}/status.json" for name in names}


def _shown(host: Host, service: Service) -> dict[str, str]:
    """Where a service finds the certificate for people, if that is not its own one."""
    if isinstance(host.certificate, Own) or not any(item.tls is Tls.SERVER for item in service.listen):
        return {}
    return {"TLS_PUBLIC_FILE": public_certificate.FILE}


def mongodb_url(catalog: Catalog, site: Site, directory: str, name: str) -> str:
    """The replica set, which knows the client by its certificate (MONGODB-X509): no password anywhere."""
    store = catalog.stores[MONGODB]
    members = ",".join(f"{host.name}:{store.ports[0]}" for host in site.of_group(store.group))
    options = (
        f"replicaSet={REPLICA_SET}&tls=true&tlsCAFile={directory}/ca.crt"
        f"&tlsCertificateKeyFile={directory}/{name}.pem&authMechanism=MONGODB-X509&authSource=$external"
    )
    return f"mongodb://{members}/?{options}"


def redis_url(catalog: Catalog, site: Site) -> str:
    """Redis by its Sentinels; user and password are the service's name and credential."""
    store = catalog.stores[REDIS]
    sentinels = ",".join(f"{host.name}:{store.ports[1]}" for host in site.of_group(store.group))
    return f"sentinel://{sentinels}/{MASTER}/0"


def users(catalog: Catalog, host: Host) -> tuple[str, ...]:
    """The unix users that must exist on a host before its firewall can name them."""
    found = {service.user for service in catalog.services.values() if service.group in host.groups}
    found |= {store.user for store in catalog.stores.values() if store.group in host.groups}
    found |= {
        listener.user
        for listener in catalog.listeners.values()
        if listener.service in catalog.services and catalog.services[listener.service].group in host.groups
    }
    found |= {exporter.user for exporter in catalog.exporters.values()}
    found |= {carrier.user for name, carrier in catalog.carriers.items() if name in host.carriers}
    found |= {public_certificate.USER} if isinstance(host.certificate, Acme) else set()
    found |= {observer.user for observer in catalog.observers.values() if observer.group in host.groups}
    return tuple(sorted(found - {"root"}))


def certificates(catalog: Catalog, host: Host) -> tuple[Certificate, ...]:
    """The certificates of the programs on a host.

    A certificate names its program. Only where clients know a program by its host does it name that too:
    with such a name any program could pass for another one of the same host.
    """

    def made(
        name: str, group: str, reload: str = "", unit: str = "services", called: tuple[str, ...] = ()
    ) -> Certificate:
        return Certificate(
            name=name,
            unit=unit,
            group=group,
            dns=(internal_name(name), "localhost", *(each for each in called if not _is_address(each))),
            addresses=("127.0.0.1", "::1", *filter(_is_address, called)),
            reload=reload,
        )

    people = (host.name, *map(str, host.addresses), *host.public_names)
    services = [s for s in catalog.services.values() if s.group in host.groups]
    stores = [(name, store) for name, store in catalog.stores.items() if store.group in host.groups]
    return (
        *(
            made(
                service.name,
                service.user,
                f"lucid-{service.name}.service" if service.reloads else "",
                called=people if any(item.tls is Tls.SERVER for item in service.listen) else (),
            )
            for service in services
        ),
        *(
            made(name, store.user, store.unit, unit=name, called=(host.name,) if name == MONGODB else ())
            for name, store in stores
        ),
        # Not one that services would take for one of their own; root alone reads it, for the listeners.
        *(
            made(name, "root", unit="listeners", called=people)
            for name, listener in catalog.listeners.items()
            if any(service.name == listener.service for service in services)
        ),
        *(made(name, exporter.user) for name, exporter in catalog.exporters.items()),
        *(
            made(name, observer.user)
            for name, observer in catalog.observers.items()
            if observer.group is None or observer.group in host.groups
        ),
    )


def database_users(catalog: Catalog) -> tuple[DatabaseUser, ...]:
    """Who may log in to MongoDB, and what each may read and write: its own collections, nobody else's."""
    return tuple(
        DatabaseUser(service.name, service.database, service.collections)
        for service in catalog.services.values()
        if service.database is not None
    )


def redis_users(catalog: Catalog) -> tuple[RedisUser, ...]:
    """Who may log in to Redis, and with which keys."""
    return tuple(
        RedisUser(service.name, tuple(f"lucid:{key}:*" for key in service.keys))
        for service in catalog.services.values()
        if REDIS in service.stores
    )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _first(site: Site, service: Service) -> Host:
    found = site.of_group(service.group)
    if not found:
        group = service.group.value
        raise SiteError(
            f"group {group} has no host, and {service.name} runs there; name one in the inventory"
        )
    return found[0]
