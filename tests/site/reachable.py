"""What the site's flows let each unix user of each host reach: worked out here again, not from the rules."""

import ipaddress
from collections.abc import Iterable
from typing import NamedTuple

from lucid.deploy.flows import ANYBODY, CONTROL, SSH
from lucid.deploy.plan import users
from tests.site.standing import Site

LOOPBACK = ("127.0.0.1", "::1")
SECONDS = 3.0
"""Longer than a connection's first repetitions, after one second and after two more."""


class Target(NamedTuple):
    """A port at one of a host's addresses; `host` may be `control` too."""

    host: str
    address: str
    port: int


class Reach:
    """Who may reach what."""

    def __init__(self, site: Site, listening: Iterable[int] = ()) -> None:
        self.site = site
        self.flows = site.flows()
        self._allowed = {(flow.source, flow.user, flow.destination, flow.port) for flow in self.flows}
        declared = [each.port for host in site.described.hosts for each in host.outbound]
        outbound = {port for port in declared if port != "any"}
        self.ports = sorted({flow.port for flow in self.flows} | outbound | set(listening))
        self.control = str(site.lab.inventory.control.ip)
        self.management = {name: str(host.management.ip) for name, host in site.hosts.items()}
        self.segments = {host.name: [str(each) for each in host.addresses] for host in site.described.hosts}

    def users(self, host: str) -> list[str]:
        """Everybody of interest on a host: programs of Lucid, administrators, and one whom nothing names."""
        own = users(self.site.catalog, self.site.described.named(host))
        return sorted({"root", "nobody", "_apt", self.site.lab.inventory.user, *own})

    def targets(self, source: str) -> list[Target]:
        """Every port at every address of the site, as seen from a host: its own loopback too."""
        places = [(host, address) for host, found in self.segments.items() for address in found]
        places += [*self.management.items(), ("control", self.control)]
        places += [(source, address) for address in LOOPBACK]
        return [Target(host, address, port) for host, address in places for port in self.ports]

    def allowed(self, source: str, user: str) -> set[Target]:
        """What a user of a host is to reach."""
        return {target for target in self.targets(source) if self._may(source, user, target)}

    def _may(self, source: str, user: str, target: Target) -> bool:
        if target.host == source and user == "root":
            return True
        if target.host == "control":
            return any(
                user in each.users and each.port in {target.port, "any"} and _within(target.address, each.to)
                for each in self.site.described.named(source).outbound
            )
        # On the management network the hosts do not see each other, and no flow names its addresses.
        return target.address not in self.management.values() and (
            (source, user, target.host, target.port) in self._allowed
        )

    def doors(self, *, administration: bool) -> set[tuple[str, int]]:
        """Hosts and ports that are open to somebody outside; the control host may administrate."""
        return {
            (flow.destination, flow.port)
            for flow in self.flows
            if flow.source == ANYBODY or (administration and flow.source == CONTROL and flow.port == SSH)
        }

    def why(self, source: str, user: str, target: Target) -> str:
        """The flow's reason."""
        wanted = (source, user, target.host, target.port)
        reasons = [f.why for f in self.flows if (f.source, f.user, f.destination, f.port) == wanted]
        return ", ".join(reasons) or "root and its own host, or what the inventory lets out"


def _within(address: str, networks: Iterable[str]) -> bool:
    return any(ipaddress.ip_address(address) in ipaddress.ip_network(each) for each in networks)


def differences(reach: Reach, source: str, user: str, reached: set[Target]) -> list[str]:
    """Lines for a person: what is open though nothing asks for it, what is closed that should be open."""
    allowed = reach.allowed(source, user)
    lines = [
        f"{user}@{source} reaches {t.host} {t.address} port {t.port}, and nothing says that it may"
        for t in sorted(reached - allowed)
    ]
    lines += [
        f"{user}@{source} does not reach {t.host} {t.address} port {t.port}: {reach.why(source, user, t)}"
        for t in sorted(allowed - reached)
    ]
    return lines
