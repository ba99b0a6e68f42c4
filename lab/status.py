"""What there is to see of the lab: its hosts, their units, memory and health."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lab import cgroups, faults
from lab.inventory import Host
from lab.place import Lab
from lab.run import NETNS, attempt, inside

UNITS = ("systemctl", "list-units", "--all", "--output=json", "--type=service,socket,timer,mount,target")


@dataclass(frozen=True, slots=True)
class HostStatus:
    """One host as it is now. `state` is `on` or `off`; `health` is systemd's word, and `off` where it is off.

    `running` counts services, `failed` names units of any kind, `memory` is in bytes, `cut_from` names the
    hosts that a fault keeps it from (`*` is all).
    """

    name: str
    groups: tuple[str, ...]
    segment: str
    address: str
    state: str
    health: str
    running: int
    failed: list[str]
    memory: int
    cut_from: list[str]


def look(lab: Lab) -> list[HostStatus]:
    """The state of every host of the inventory."""
    made = (NETNS / lab.netns("switch")).exists()
    cuts = faults.cuts(lab) if made else {}
    hosts = lab.inventory.hosts.values()
    with ThreadPoolExecutor(max_workers=len(hosts)) as pool:
        return list(pool.map(lambda host: _look_at(lab, host, cuts.get(host.name, [])), hosts))


def _look_at(lab: Lab, host: Host, cut_from: list[str]) -> HostStatus:
    first = cgroups.leader(lab, host.name)
    health, running, failed = "off", 0, []
    if first:
        health = attempt(*inside(first, "systemctl", "is-system-running")).stdout.strip() or "starting"
        listed = attempt(*inside(first, *UNITS)).stdout
        units = json.loads(listed) if listed.startswith("[") else []
        running = sum(unit["sub"] == "running" and unit["unit"].endswith(".service") for unit in units)
        failed = [unit["unit"] for unit in units if unit["active"] == "failed"]
    return HostStatus(
        name=host.name,
        groups=host.groups,
        segment=host.segment,
        address=str(host.address.ip),
        state="on" if first else "off",
        health=health,
        running=running,
        failed=failed,
        memory=cgroups.memory(lab, host.name) if first else 0,
        cut_from=cut_from,
    )
