"""A host's firewall as text for iptables-restore(8) and ip6tables-restore(8), loaded whole or not at all.

Inbound and outbound are dropped unless a flow says otherwise. Outbound matches the sender's unix user, on
loopback too; of programs whose users are lent it matches the group, their own, not one that they are in
besides. Root may speak on loopback, being able to do everything there anyway. What is dropped is counted and,
at a bounded rate, handed to NFLOG group 5.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from lucid.catalog import Group
from lucid.contracts.xrdp import ADMISSION_SETS
from lucid.deploy.flows import ADMITTED, ANYBODY, CONTROL, Flow
from lucid.deploy.site import Address, Host, Network, Site

LOG_GROUP = 5
LOG_LIMIT = "12/minute"
_LOOPBACK = (ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1"))
_LOOPBACK_NETWORKS = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
_LONGEST = 200  # bytes; xt_comment takes 256


def render(host: Host, site: Site, flows: Sequence[Flow], version: int) -> str:
    """The filter table of `host` for IP `version` 4 or 6."""
    lines = [
        "*filter",
        ":INPUT DROP [0:0]",
        ":FORWARD DROP [0:0]",
        ":OUTPUT DROP [0:0]",
        ":LUCID-IN - [0:0]",
        ":LUCID-OUT - [0:0]",
        *_frame(version),
        *_inbound(host, site, flows, version),
        *_outbound(host, site, flows, version),
        *_refused("INPUT", "in"),
        *_refused("OUTPUT", "out"),
        "COMMIT",
    ]
    return "\n".join(lines) + "\n"


def forward(site: Site, flows: Sequence[Flow], version: int) -> str:
    """The filter table of a router between the TRON segment and the others: the site's own flows pass."""
    isolated = {host.name for host in site.of_group(Group.TRON)}
    lines = ["*filter", ":INPUT DROP [0:0]", ":FORWARD DROP [0:0]", ":OUTPUT ACCEPT [0:0]"]
    lines += ["-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"]
    if version == 6:
        lines += ["-A INPUT -p ipv6-icmp -j ACCEPT"]
    names = {host.name for host in site.hosts}
    for flow in flows:
        if flow.source in names and (flow.source in isolated) != (flow.destination in isolated):
            lines += [
                f"-A FORWARD -s {source} -d {destination} -p tcp -m tcp --dport {flow.port} --syn"
                f" -m comment --comment {_quoted(flow.why)} -j ACCEPT"
                for source in _of(site.named(flow.source).addresses, version)
                for destination in _of(site.named(flow.destination).addresses, version)
            ]
    return "\n".join([*lines, "COMMIT"]) + "\n"


def _frame(version: int) -> Iterator[str]:
    for chain in ("INPUT", "OUTPUT"):
        yield f"-A {chain} -m conntrack --ctstate INVALID -j DROP"
        yield f"-A {chain} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
    # What arrives on loopback has passed this host's own OUTPUT chain.
    yield "-A INPUT -i lo -j ACCEPT"
    yield "-A OUTPUT -o lo -m owner --uid-owner 0 -j ACCEPT"
    if version == 4:
        yield "-A INPUT -p icmp --icmp-type echo-request -m limit --limit 10/second -j ACCEPT"
        yield "-A OUTPUT -p icmp --icmp-type echo-request -m owner --uid-owner 0 -j ACCEPT"
    else:
        # Neighbour discovery (RFC 4861); without it IPv6 does not find its own segment.
        for kind in ("neighbour-solicitation", "neighbour-advertisement"):
            for chain in ("INPUT", "OUTPUT"):
                yield f"-A {chain} -p ipv6-icmp --icmpv6-type {kind} -m hl --hl-eq 255 -j ACCEPT"
        yield "-A INPUT -p ipv6-icmp --icmpv6-type echo-request -m limit --limit 10/second -j ACCEPT"
        yield "-A OUTPUT -p ipv6-icmp --icmpv6-type echo-request -m owner --uid-owner 0 -j ACCEPT"
    yield "-A INPUT -j LUCID-IN"
    yield "-A OUTPUT -j LUCID-OUT"


def _inbound(host: Host, site: Site, flows: Sequence[Flow], version: int) -> Iterator[str]:
    for flow in flows:
        if flow.destination != host.name or flow.source == host.name:
            continue
        ports = f"{flow.port}:{flow.last}" if flow.last else str(flow.port)
        for where in _sources(flow, host, site, version):
            yield (
                f"-A LUCID-IN{where} -p tcp -m tcp --dport {ports} -m conntrack --ctstate NEW"
                f" -m comment --comment {_quoted(flow.why)} -j ACCEPT"
            )


def _sources(flow: Flow, host: Host, site: Site, version: int) -> list[str]:
    if flow.source == ANYBODY:
        return [""]
    if flow.source == ADMITTED:
        return [f" -m set --match-set {ADMISSION_SETS[version]} src,dst"]
    if flow.source == CONTROL:
        return [f" -s {network}" for network in host.control if network.version == version]
    return [f" -s {address}" for address in _of(site.named(flow.source).addresses, version)]


def _outbound(host: Host, site: Site, flows: Sequence[Flow], version: int) -> Iterator[str]:
    for flow in flows:
        if flow.source != host.name:
            continue
        own = _LOOPBACK if flow.destination == host.name else ()
        for address in _of((*site.named(flow.destination).addresses, *own), version):
            yield _out(flow.user, str(address), "tcp", flow.port, flow.why, "gid" if flow.group else "uid")
    for user in sorted({user for each in host.outbound for user in each.users if each.port == "any"}):
        yield from _kept_out(user, site, version)
    for each in host.outbound:
        for network in _of(each.networks(), version):
            for user in each.users:
                yield _out(user, str(network), each.protocol, each.port, each.why)


def _kept_out(user: str, site: Site, version: int) -> Iterator[str]:
    """Whoever may go out on any port gets past here neither to loopback nor to a host of the site."""
    inside = [address for host in site.hosts for address in host.addresses]
    for address in _of((*_LOOPBACK_NETWORKS, *inside), version):
        yield f"-A LUCID-OUT -d {address} -m owner --uid-owner {user} -j RETURN"


def _out(
    user: str,
    to: str,
    protocol: str,
    port: int | Literal["any"],
    why: str,
    owner: Literal["uid", "gid"] = "uid",
) -> str:
    ports = "" if port == "any" else f" -m {protocol} --dport {port}"
    return (
        f"-A LUCID-OUT -d {to} -p {protocol}{ports} -m owner --{owner}-owner {user}"
        f" -m comment --comment {_quoted(why)} -j ACCEPT"
    )


def _refused(chain: str, name: str) -> Iterator[str]:
    yield (
        f"-A {chain} -m limit --limit {LOG_LIMIT} --limit-burst 20"
        f' -j NFLOG --nflog-group {LOG_GROUP} --nflog-prefix "lucid drop {name} "'
    )
    yield f"-A {chain} -j DROP"


def _of(addresses: Iterable[Address | Network], version: int) -> list[Address | Network]:
    return [address for address in addresses if address.version == version]


def _quoted(text: str) -> str:
    return '"' + text.replace('"', "'")[:_LONGEST] + '"'
