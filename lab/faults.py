"""What may go wrong between hosts: a cut cable, two hosts that no longer reach each other.

The switch drops what a fault names; ssh on the management network goes on. Losing power is hosts.kill.
"""

import json
from collections.abc import Sequence
from typing import Any

from lab.inventory import Host
from lab.network import hardware_address
from lab.place import Lab
from lab.run import run, within


def cut(lab: Lab, host: Host, others: Sequence[Host] = ()) -> None:
    """Nothing passes any more between a host and others, both ways; without others: the host and anyone."""
    _change(lab, "add", host, others)


def join(lab: Lab, host: Host, others: Sequence[Host] = ()) -> None:
    """Takes back a cut that was made with the same hosts."""
    _change(lab, "delete", host, others)


def cuts(lab: Lab) -> dict[str, list[str]]:
    """Each host with a cut, and whom it does not reach; `*` is anyone on its segment and beyond."""
    hosts = lab.inventory.hosts.values()
    names = {str(host.address.ip): host.name for host in hosts}
    cables = {hardware_address(host.address.ip): host.name for host in hosts}
    found = {cables[mac]: ["*"] for mac in _members(lab, "silent")}
    for pair in _members(lab, "pairs"):
        one, other = (names[address] for address in pair["concat"])
        found.setdefault(one, []).append(other)
    return found


def _members(lab: Lab, name: str) -> list[Any]:
    listed = _nft(lab, "--json", "list", "set", "bridge", "lab", name)
    return next(item["set"].get("elem", []) for item in json.loads(listed)["nftables"] if "set" in item)


def _change(lab: Lab, verb: str, host: Host, others: Sequence[Host]) -> None:
    members = []
    if not others:
        members.append(("silent", hardware_address(host.address.ip)))
    for other in others:
        for one, two in ((host, other), (other, host)):
            members.append(("pairs", f"{one.address.ip} . {two.address.ip}"))
            members.append(("pairs6", f"{one.address6.ip} . {two.address6.ip}"))
    # Added first in any case, so that taking away what is not there is no error; nft does all of it at once.
    verbs = ("add",) if verb == "add" else ("add", "delete")
    commands = [f"{v} element bridge lab {name} {{ {what} }}" for name, what in members for v in verbs]
    _nft(lab, "; ".join(commands))


def _nft(lab: Lab, *arguments: str) -> str:
    return run(*within(lab.netns("switch")), "nft", *arguments)
