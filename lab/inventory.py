"""The lab's hosts, read from the inventory that Ansible deploys to: the one place that names them."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    NetmaskValueError,
)
from pathlib import Path
from typing import Any

import yaml

from lab.errors import LabError

RESERVED = ("switch", "router", "control")  # namespaces of the lab itself
LONGEST_NAME = 9  # `core-` and a host's name make an interface's name: 15 characters


@dataclass(frozen=True, slots=True)
class Segment:
    """A network that hosts share, and the router's addresses on it."""

    name: str
    network: IPv4Network
    network6: IPv6Network
    router: IPv4Interface
    router6: IPv6Interface


@dataclass(frozen=True, slots=True)
class Host:
    """One virtual host: where it stands and its addresses with the length of their networks."""

    name: str
    groups: tuple[str, ...]
    segment: str
    address: IPv4Interface
    address6: IPv6Interface
    management: IPv4Interface


@dataclass(frozen=True, slots=True)
class Inventory:
    """All of the lab, by name; `control` is the control host's address on the management network."""

    path: Path
    segments: Mapping[str, Segment]
    hosts: Mapping[str, Host]
    control: IPv4Interface
    user: str

    @property
    def name(self) -> str:
        """Its directory's, below inventories/."""
        return self.path.parent.name

    def find(self, names: str) -> list[Host]:
        """The hosts that a comma-separated list of hosts and groups means; raises LabError on others."""
        found: dict[str, Host] = {}
        for name in filter(None, names.split(",")):
            members = [h for h in self.hosts.values() if h.name == name or name in h.groups]
            if not members:
                known = ", ".join(self.hosts)
                raise LabError(f"{name} is neither a host nor a group of the inventory; hosts are: {known}")
            found |= {host.name: host for host in members}
        if not found:
            raise LabError("no host is named")
        return list(found.values())


def load(path: Path) -> Inventory:
    """Reads an inventory file (YAML). Raises LabError naming the file, the host and the variable at fault."""
    try:
        read = yaml.safe_load(path.read_text())["all"]
        shared: dict[str, Any] = read["vars"]
        management = IPv4Network(shared["lucid_management"]["network"])
        control = IPv4Interface(f"{shared['lucid_management']['control']}/{management.prefixlen}")
        segments = {name: _segment(name, values) for name, values in shared["lucid_segments"].items()}
        children: dict[str, Any] = read["children"]
    except OSError as error:
        raise LabError(f"{path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise LabError(f"{path}: {error}") from None
    except (KeyError, TypeError) as error:
        raise LabError(f"{path}: all.vars and all.children must name {error}") from None
    except (AddressValueError, NetmaskValueError, ValueError) as error:
        raise LabError(f"{path}: lucid_segments or lucid_management: {error}") from None
    hosts: dict[str, Host] = {}
    for group, members in children.items():
        for name, values in (members.get("hosts") or {}).items():
            if name in hosts:
                hosts[name] = _joined(hosts[name], group)
            else:
                hosts[name] = _host(path, group, name, values or {}, segments, management)
    return Inventory(path, segments, hosts, control, shared.get("ansible_user", "deploy"))


def _segment(name: str, values: Mapping[str, str]) -> Segment:
    network, network6 = IPv4Network(values["network"]), IPv6Network(values["network6"])
    return Segment(
        name,
        network,
        network6,
        IPv4Interface(f"{values['router']}/{network.prefixlen}"),
        IPv6Interface(f"{values['router6']}/{network6.prefixlen}"),
    )


def _joined(host: Host, group: str) -> Host:
    return Host(host.name, (*host.groups, group), host.segment, host.address, host.address6, host.management)


def _host(
    path: Path,
    group: str,
    name: str,
    values: Mapping[str, str],
    segments: Mapping[str, Segment],
    management: IPv4Network,
) -> Host:
    if name in RESERVED or len(name) > LONGEST_NAME or not name.isalnum():
        raise LabError(
            f"{path}: {name}: a host of the lab has letters and digits, at most {LONGEST_NAME} of them, "
            f"and is none of {', '.join(RESERVED)}"
        )
    try:
        address, address6 = IPv4Address(values["lucid_address"]), IPv6Address(values["lucid_address6"])
        reached = IPv4Address(values["ansible_host"])
    except KeyError as error:
        raise LabError(f"{path}: {name} has no {error}") from None
    except AddressValueError as error:
        raise LabError(f"{path}: {name}: {error}") from None
    segment = next((s for s in segments.values() if address in s.network and address6 in s.network6), None)
    if segment is None:
        raise LabError(f"{path}: {name}: lucid_address and lucid_address6 are on no segment together")
    if reached not in management:
        raise LabError(f"{path}: {name}: ansible_host is not on lucid_management ({management})")
    return Host(
        name,
        (group,),
        segment.name,
        IPv4Interface(f"{address}/{segment.network.prefixlen}"),
        IPv6Interface(f"{address6}/{segment.network6.prefixlen}"),
        IPv4Interface(f"{reached}/{management.prefixlen}"),
    )
