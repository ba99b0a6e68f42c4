"""The lab's networks: two data segments joined by a router, a management network, and none of it outside.

One namespace holds the bridges, one is the router, one the control host, and each host has its own. Links
are made straight into these namespaces: this machine's own never holds an interface of the lab.
"""

from contextlib import suppress
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface

from lab.inventory import Host
from lab.place import Lab
from lab.run import NETNS, attempt, run, within

MANAGEMENT = "mgmt"
QUIET = {  # it sends nothing itself, and shows what it carries to no iptables (where that exists)
    "net.ipv6.conf.all.disable_ipv6": 1,
    "net.ipv6.conf.default.disable_ipv6": 1,
    "net.bridge.bridge-nf-call-iptables": 0,
    "net.bridge.bridge-nf-call-ip6tables": 0,
}
FORWARDING = {"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1}
# The router answers pings and neighbours, and forwards nothing until it is told what.
ROUTER = """\
*filter
:INPUT DROP
:FORWARD DROP
:OUTPUT ACCEPT
-A INPUT -p {icmp} -j ACCEPT
COMMIT
"""
# Faults (faults.py) are members of these sets: pairs of addresses, and hosts of which nothing passes.
SWITCH = """\
table bridge lab {
  set pairs { type ipv4_addr . ipv4_addr; }
  set pairs6 { type ipv6_addr . ipv6_addr; }
  set silent { type ether_addr; }
  chain forward {
    type filter hook forward priority 0; policy accept;
    ip saddr . ip daddr @pairs counter drop
    ip6 saddr . ip6 daddr @pairs6 counter drop
    ether saddr @silent counter drop
    ether daddr @silent counter drop
  }
}
"""


def make(lab: Lab) -> None:
    """Makes the switch, the router and, last, the control host; does nothing where it stands."""
    switch, router, control = (lab.netns(who) for who in ("switch", "router", "control"))
    if (NETNS / control).exists():
        return
    bridges = [*lab.inventory.segments, MANAGEMENT]
    for name in (switch, router):
        attempt("ip", "netns", "delete", name)  # of an attempt that was broken off
        run("ip", "netns", "add", name)
    _set(switch, QUIET)
    _set(router, FORWARDING)
    commands = [f"link add {b} type bridge stp_state 0 mcast_snooping 0" for b in bridges]
    _batch(switch, [*commands, *(f"link set {b} up" for b in bridges)])
    for segment in lab.inventory.segments.values():
        port = f"{segment.name}-router"
        _batch(router, _link(f"{segment.name}0", port, switch, segment.router, segment.router6))
        _batch(switch, _plug(port, segment.name))
    run(*within(switch), "nft", "-f", "-", given=SWITCH)
    route(lab, ROUTER.format(icmp="icmp"), ROUTER.format(icmp="ipv6-icmp"))
    run("ip", "netns", "add", control)
    _batch(control, _link("mgmt0", "mgmt-control", switch, lab.inventory.control))
    _batch(switch, _plug("mgmt-control", MANAGEMENT))


def route(lab: Lab, rules: str, rules6: str) -> None:
    """Replaces what the router lets pass: texts for iptables-restore and ip6tables-restore."""
    for tool, text in (("iptables-restore", rules), ("ip6tables-restore", rules6)):
        if text:
            run(*within(lab.netns("router")), tool, given=text)


def links(lab: Lab, host: Host) -> list[str]:
    """The commands (ip -batch) that connect a host's fresh namespace and give it its addresses and routes."""
    segment, switch = lab.inventory.segments[host.segment], lab.netns("switch")
    data = f"{segment.name}0"
    return [
        *_link(data, f"{segment.name}-{host.name}", switch, host.address, host.address6),
        *_link("mgmt0", f"mgmt-{host.name}", switch, host.management),
        f"route add default via {segment.router.ip} dev {data}",
        f"route add default via {segment.router6.ip} dev {data}",
    ]


def ports(host: Host) -> list[str]:
    """The commands that plug a host in at the switch: on the management network no host sees another."""
    management = f"mgmt-{host.name}"
    return [
        *_plug(f"{host.segment}-{host.name}", host.segment),
        *_plug(management, MANAGEMENT),
        f"link set {management} type bridge_slave isolated on",
    ]


def remove(lab: Lab) -> None:
    """Removes every namespace of the lab and, with the last of this machine, their directory's mount."""
    for name in sorted(path.name for path in NETNS.glob(f"{lab.prefix}*")):
        attempt("ip", "netns", "delete", name)
    if NETNS.is_mount() and not any(NETNS.iterdir()):
        attempt("umount", str(NETNS))
        with suppress(OSError):  # another lab has begun meanwhile and needs it
            NETNS.rmdir()


def hardware_address(address: IPv4Address) -> str:
    """An interface's MAC, made from its address: a host that comes back is the one its neighbours know."""
    return "02:4c:" + address.packed.hex(":")


def _link(
    name: str, port: str, switch: str, address: IPv4Interface, address6: IPv6Interface | None = None
) -> list[str]:
    return [
        "link set lo up",
        f"link add {name} address {hardware_address(address.ip)} type veth peer name {port} netns {switch}",
        f"address add {address} dev {name}",
        *([f"address add {address6} dev {name} nodad"] if address6 else []),
        f"link set {name} up",
    ]


def _plug(port: str, bridge: str) -> list[str]:
    return [f"link set {port} master {bridge} up"]


def _batch(netns: str, commands: list[str]) -> None:
    run("ip", "-n", netns, "-batch", "-", given="\n".join(commands))


def _set(netns: str, values: dict[str, int]) -> None:
    settings = [f"{name}={value}" for name, value in values.items()]
    run(*within(netns), "sysctl", "--quiet", "--ignore", "--write", *settings)
