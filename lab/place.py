"""Where a lab's things are and how they are called, so that several labs stand side by side."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from lab import inventory
from lab.errors import LabError
from lab.inventory import Host, Inventory

REPOSITORY = Path(__file__).resolve().parent.parent
INVENTORIES = REPOSITORY / "inventories"
INVENTORY = INVENTORIES / "lab" / "hosts.yml"
NAME = "lucid"
CACHE = Path("/var/cache/lucid-lab")  # base images and packages, shared by all labs


@dataclass(frozen=True, slots=True)
class Lab:
    """One lab: its name is in the name of everything it makes, and `state` holds all of its files."""

    name: str
    state: Path
    inventory: Inventory

    @property
    def prefix(self) -> str:
        """What the names of this lab's network namespaces and machines begin with."""
        return f"{self.name}-"

    def netns(self, who: str) -> str:
        """The network namespace of a host, or of `switch`, `router` or `control`."""
        return f"{self.prefix}{who}"

    @property
    def cgroup(self) -> str:
        """The lab's control group, the same in every hierarchy; each host has one of its own in it."""
        return f"lab-{self.name}"

    def disk(self, host: Host) -> Path:
        """The directory with a host's own files: its layer over the base image, and its console."""
        return self.state / "hosts" / host.name

    @property
    def ssh_config(self) -> Path:
        """The ssh configuration with which `ssh HOST` works in the control namespace."""
        return self.state / "ssh" / "config"

    @property
    def noted(self) -> Path:
        """The file with the name of the inventory that the lab was brought up from."""
        return _noted(self.state)


def here(inventory_name: str = "") -> Lab:
    """The lab that LUCID_LAB and LUCID_LAB_STATE mean; raises LabError if a name cannot be used.

    Its hosts are those of the inventory named here or in LUCID_LAB_INVENTORY, else of the one that it was
    brought up from, else of `lab`.
    """
    name = os.environ.get("LUCID_LAB") or NAME
    if not re.fullmatch(r"[a-z][a-z0-9]{0,5}", name):
        raise LabError(f"LUCID_LAB={name}: a name is 1 to 6 small letters and digits, a letter first")
    state = Path(os.environ.get("LUCID_LAB_STATE") or REPOSITORY / ".state" / f"lab-{name}").resolve()
    noted = _noted(state).read_text() if _noted(state).exists() else ""
    chosen = inventory_name or os.environ.get("LUCID_LAB_INVENTORY") or noted or INVENTORY.parent.name
    if not re.fullmatch(r"[a-z0-9_-]+", chosen):
        raise LabError(f"LUCID_LAB_INVENTORY={chosen}: it names a directory in inventories/")
    return Lab(name, state, inventory.load(INVENTORIES / chosen / INVENTORY.name))


def _noted(state: Path) -> Path:
    return state / "inventory"
