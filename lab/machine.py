"""Whether this machine can hold a lab, and what is missing if not."""

import os
import re
import shutil
from pathlib import Path

from lab import cgroups
from lab.errors import LabError

MEMORY = 7.5  # GiB as the kernel counts them: a machine of 8 GiB shows a little less
DISK = 15  # GiB free for a deployed site, its packages and its recordings
WATCHES = Path("/proc/sys/fs/inotify/max_user_instances")
ENOUGH_WATCHES = 1024  # a host's systemd and services hold ten or more, and Linux starts with 128 for all
TOOLS = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "ip": "iproute2",
    "nft": "nftables",
    "iptables-restore": "iptables",
    "nsenter": "util-linux",
    "sysctl": "procps",
    "ssh-keyscan": "openssh-client",
}


def check(state: Path) -> None:
    """Raises LabError with everything that is missing for a lab, and how to get it."""
    missing = [*_system(), *_resources(state)]
    if missing:
        listed = "".join(f"  - {line}\n" for line in missing)
        raise LabError(
            f"this machine cannot hold the lab:\n{listed}"
            "`lucid dev` runs Lucid without virtual hosts, on any Linux."
        )


def widen() -> None:
    """Raises this machine's limit on inotify instances, which all hosts share: without one no host starts.

    The one setting of the machine that a lab changes; it stays, since others may count on it by then.
    """
    if int(WATCHES.read_text()) < ENOUGH_WATCHES:
        WATCHES.write_text(f"{ENOUGH_WATCHES}\n")


def _system() -> list[str]:
    missing = []
    if os.geteuid() != 0:
        missing.append("root: namespaces and mounts need it; use sudo")
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', Path("/etc/os-release").read_text(), re.MULTILINE))
    if (release.get("ID"), release.get("VERSION_ID")) != ("debian", "12"):
        missing.append(f"Debian 12: this is {release.get('PRETTY_NAME', 'something else')}")
    packages = sorted({package for tool, package in TOOLS.items() if not shutil.which(tool)})
    if packages:
        missing.append(f"packages: apt-get install --no-install-recommends {' '.join(packages)}")
    if not any((root / "memory.limit_in_bytes").exists() for root in cgroups.hierarchies()):
        missing.append(
            "control groups of version 1 beside version 2: start the kernel with "
            "systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=0"
        )
    return missing


def _resources(state: Path) -> list[str]:
    missing = []
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    if memory < MEMORY:
        missing.append(f"8 GiB of memory: there are {memory:.1f} GiB")
    existing = next(path for path in (state, *state.parents) if path.exists())
    free = shutil.disk_usage(existing).free / 2**30
    if free < DISK:
        missing.append(f"{DISK} GiB of free disk in {existing}: there are {free:.0f} GiB")
    return missing
