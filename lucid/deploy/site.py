"""An Ansible inventory as typed values: the hosts, their groups and addresses.

Read from what `ansible-inventory --list` prints, so that every form of inventory will do.
"""

import ipaddress
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from lucid import catalog, variants
from lucid.deploy import public_certificate
from lucid.deploy.errors import SiteError
from lucid.deploy.public_certificate import Acme, Own, PublicCertificate

T = TypeVar("T")

_PROGRAM = "ansible-inventory"
_SECONDS = 60
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_OF_ANSIBLE = {"all", "ungrouped"}


class Outbound(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something outside the site that a host may reach, as the inventory declares it."""

    why: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] | Literal["any"]
    users: tuple[str, ...]
    """The unix users that may."""
    to: tuple[str, ...]
    """Addresses or networks."""
    protocol: str = "tcp"

    def networks(self) -> tuple[Network, ...]:
        """`to`, parsed. Raises ValueError."""
        return tuple(ipaddress.ip_network(each) for each in self.to)


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """One host."""

    name: str
    groups: frozenset[catalog.Group]
    address: Address
    """Where other hosts of its segment reach it, IPv4."""
    address6: Address | None = None
    outbound: tuple[Outbound, ...] = ()
    public_names: tuple[str, ...] = ()
    """Names and addresses by which people reach it, beside those of the site."""
    control: tuple[Network, ...] = ()
    """From where it is administered by ssh."""
    carriers: frozenset[str] = frozenset()
    """The catalogue's carriers that run on it."""
    certificate: PublicCertificate = Own()
    """What it shows to people."""

    @property
    def addresses(self) -> tuple[Address, ...]:
        return (self.address,) if self.address6 is None else (self.address, self.address6)


class Site(msgspec.Struct, frozen=True):
    """All hosts of a deployment."""

    hosts: tuple[Host, ...]
    services: tuple[str, ...] = ()
    """The services that it has; none named: all."""
    public_ports: dict[str, int] = {}
    """Where people reach a service, if not at the catalogue's port."""
    ports: str = variants.HOSTS
    """The catalogue's column that its services listen at: `local` where groups share a host."""

    def adapted(self, found: catalog.Catalog) -> catalog.Catalog:
        """The catalogue as this site has it. Raises SiteError."""
        try:
            found = variants.placed(found, self.ports)
        except ValueError as error:
            raise SiteError(f"lucid_ports: {error}") from None
        try:
            kept = variants.only(found, self.services) if self.services else found
        except ValueError as error:
            raise SiteError(f"lucid_services: {error}") from None
        try:
            return variants.moved(kept, self.public_ports)
        except ValueError as error:
            raise SiteError(f"lucid_public_ports: {error}") from None

    def of_group(self, group: catalog.Group | None) -> tuple[Host, ...]:
        """The hosts of a group; of None, all."""
        return tuple(host for host in self.hosts if group is None or group in host.groups)

    def named(self, name: str) -> Host:
        """One host. Raises SiteError."""
        found = next((host for host in self.hosts if host.name == name), None)
        if found is None:
            raise SiteError(f"host {name} is not in the inventory")
        return found


def read(inventory: Path) -> Site:
    """Asks Ansible for the inventory. Raises SiteError."""
    beside = Path(sys.executable).with_name(_PROGRAM)
    program = str(beside) if beside.exists() else _PROGRAM
    command = [program, "--inventory", str(inventory), "--list"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=True)
    except FileNotFoundError:
        raise SiteError(
            f"{_PROGRAM} is not on PATH; `pip install -r requirements/deploy.txt` brings it"
        ) from None
    except subprocess.SubprocessError as error:
        words = getattr(error, "stderr", b"") or str(error).encode()
        raise SiteError(f"{inventory}: {words.decode(errors='replace').strip()}") from None
    found = msgspec.json.decode(done.stdout)
    groups = {name: entry.get("hosts", []) for name, entry in found.items() if name != "_meta"}
    return parse(groups, found["_meta"]["hostvars"])


def parse(groups: Mapping[str, Any], hostvars: Mapping[str, Mapping[str, Any]]) -> Site:
    """The site from Ansible's `groups` (names of hosts) and `hostvars`. Raises SiteError."""
    known = {group.value: group for group in catalog.Group}
    for name, members in groups.items():
        if members and name not in known and name not in _OF_ANSIBLE:
            raise SiteError(f"group {name} is none of Lucid's: {', '.join(known)}")
    hosts = []
    for name, variables in sorted(hostvars.items()):
        mine = frozenset(
            known[group] for group, members in groups.items() if group in known and name in members
        )
        if not mine:
            raise SiteError(f"host {name} is in no group; put it into one of {', '.join(known)}")
        hosts.append(_host(name, mine, variables))
    if not hosts:
        raise SiteError("the inventory holds no hosts")
    _check_addresses(hosts)
    services = _of_all(hostvars, "lucid_services", tuple[str, ...], ())
    ports = _of_all(hostvars, "lucid_public_ports", dict[str, int], {})
    column = _of_all(hostvars, "lucid_ports", str, variants.HOSTS)
    return Site(tuple(hosts), services, ports, column)


def _host(name: str, groups: frozenset[catalog.Group], variables: Mapping[str, Any]) -> Host:
    address6 = variables.get("lucid_address6")
    carriers = _carriers(name, variables.get("lucid_carriers", {}))
    public_names = tuple(str(each) for each in variables.get("lucid_public_names", []))
    certificate = public_certificate.read(name, variables.get(public_certificate.VARIABLE), public_names)
    return Host(
        name=name,
        groups=groups,
        address=_address(name, "lucid_address", variables.get("lucid_address"), 4),
        address6=_address(name, "lucid_address6", address6, 6) if address6 else None,
        public_names=public_names,
        outbound=(
            *_outbound(name, variables.get("firewall_outbound", [])),
            *carriers,
            *_to_authority(certificate),
        ),
        control=_networks(name, "firewall_control", variables.get("firewall_control", [])),
        carriers=frozenset(each.why for each in carriers),
        certificate=certificate,
    )


def _address(host: str, variable: str, value: object, version: int) -> Address:
    if not value:
        raise SiteError(f"host {host}: {variable} is missing; set it to its IPv{version} address in the site")
    try:
        if (address := ipaddress.ip_address(str(value))).version == version:
            return address
    except ValueError:
        pass
    raise SiteError(f"host {host}: {variable} is {value!r}, which is no IPv{version} address")


def _outbound(host: str, value: object) -> tuple[Outbound, ...]:
    try:
        found = msgspec.convert(value, tuple[Outbound, ...])
        for each in found:
            each.networks()
    except (msgspec.ValidationError, ValueError) as error:
        raise SiteError(f"host {host}: firewall_outbound: {error}") from None
    return found


def _carriers(host: str, value: object) -> tuple[Outbound, ...]:
    """The way out of each carrier that runs on a host: `why` is its name."""
    known = catalog.load().carriers
    try:
        reached = msgspec.convert(value, dict[str, tuple[str, ...]])
    except msgspec.ValidationError as error:
        raise SiteError(f"host {host}: lucid_carriers: {error}; write it as tor: [0.0.0.0/0]") from None
    if unknown := sorted(set(reached) - set(known)):
        raise SiteError(
            f"host {host}: lucid_carriers names {unknown[0]}, which is none of {', '.join(known)}"
        )
    return tuple(
        Outbound(
            why=name,
            port="any",
            users=(known[name].user,),
            to=tuple(str(each) for each in _networks(host, "lucid_carriers", networks)),
        )
        for name, networks in reached.items()
    )


def _to_authority(certificate: PublicCertificate) -> tuple[Outbound, ...]:
    """The way out to the authority that issues it."""
    if not isinstance(certificate, Acme):
        return ()
    user, to = public_certificate.USER, certificate.reaches
    return (Outbound(why="certificate authority", port=certificate.port, users=(user,), to=to),)


def _networks(host: str, variable: str, value: object) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(each) for each in msgspec.convert(value, tuple[str, ...]))
    except (msgspec.ValidationError, ValueError) as error:
        raise SiteError(f"host {host}: {variable}: {error}") from None


def _of_all(hostvars: Mapping[str, Mapping[str, Any]], variable: str, kind: type[T], default: T) -> T:
    """A variable that concerns the whole site, so that every host has to have the same."""
    found = {name: variables.get(variable, default) for name, variables in sorted(hostvars.items())}
    (first, value), *others = found.items()
    for host, other in others:
        if other != value:
            raise SiteError(f"host {host}: {variable} is not that of {first}; set it in group_vars/all")
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise SiteError(f"{variable}: {error}") from None


def _check_addresses(hosts: list[Host]) -> None:
    taken: dict[Address, str] = {}
    for host in hosts:
        for address in host.addresses:
            other = taken.setdefault(address, host.name)
            if other != host.name:
                raise SiteError(f"host {host.name}: {address} is the address of {other} too")
