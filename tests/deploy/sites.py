"""The lab's site, and variations of it."""

from collections.abc import Mapping
from typing import Any

from lucid.deploy import site

HOSTS: dict[str, tuple[str, str]] = {
    "edge1": ("edge", "172.20.0.11"),
    "core1": ("core", "172.20.0.12"),
    "sess1": ("sessions", "172.20.0.13"),
    "rdp1": ("rdp", "172.20.0.14"),
    "rdp2": ("rdp", "172.20.0.15"),
    "data1": ("data", "172.20.0.21"),
    "data2": ("data", "172.20.0.22"),
    "data3": ("data", "172.20.0.23"),
    "mon1": ("support", "172.20.0.31"),
    "tron1": ("tron", "172.21.0.11"),
}


def made(
    changes: Mapping[str, Mapping[str, Any]] | None = None, groups: Mapping[str, str] | None = None
) -> site.Site:
    """The site; `changes` to variables by host, and hosts moved to other `groups`."""
    members: dict[str, list[str]] = {}
    variables: dict[str, dict[str, Any]] = {}
    for host, (group, address) in HOSTS.items():
        members.setdefault((groups or {}).get(host, group), []).append(host)
        last = address.rpartition(".")[2]
        variables[host] = {
            "lucid_address": address,
            "lucid_address6": f"fd2{address[5]}::{last}",
            "firewall_control": ["172.22.0.1/32"],
        } | dict((changes or {}).get(host, {}))
    return site.parse(members, variables)
