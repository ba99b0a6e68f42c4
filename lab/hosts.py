"""A host's life: its disk made, switched on, up, switched off."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from lab import cgroups, keys, network, proxy
from lab.errors import LabError
from lab.inventory import Host
from lab.place import Lab
from lab.run import NETNS, attempt, inside, run, within

BOOT = Path(__file__).with_name("boot")
NAMES = """\
127.0.0.1 localhost
127.0.1.1 {name}
::1 localhost ip6-localhost ip6-loopback
"""


def furnish(lab: Lab, host: Host) -> None:
    """Makes the disk of a new host: an empty layer over the base image, with its name and its keys."""
    disk = lab.disk(host)
    if not (disk / "ports").exists():
        shutil.rmtree(disk, ignore_errors=True)  # a half-made disk, or none: what stays makes mkdir fail
        for part in ("upper/etc", "work", "root"):
            (disk / part).mkdir(parents=True)
        (disk / "upper/etc/hostname").write_text(f"{host.name}\n")
        (disk / "upper/etc/hosts").write_text(NAMES.format(name=host.name))
        keys.install(lab, host)
    (disk / "links").write_text("\n".join(network.links(lab, host)) + "\n")
    (disk / "ports").write_text("\n".join(network.ports(host)) + "\n")


def start(lab: Lab, host: Host, base: Path) -> bool:
    """Switches a host on, its disk over the image `base`; False if it was on. It reboots by itself."""
    if cgroups.processes(lab, host.name):
        return False
    disk = lab.disk(host)
    environment = {
        "PATH": os.environ["PATH"],
        "HOST": host.name,
        "MACHINE": lab.netns(host.name),
        "NETNS": lab.netns(host.name),
        "SWITCH": lab.netns("switch"),
        "PORTS": f"{host.segment}-{host.name} mgmt-{host.name}",
        "BASE": str(base),
        "DISK": str(disk),
        "GROUPS_FILES": " ".join(map(str, cgroups.make(lab, host.name))),
    }
    with (disk / "console.log").open("a") as console:
        subprocess.run(
            ["setsid", "--fork", BOOT],
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            check=True,
        )
    return True


def kill(lab: Lab, host: Host) -> None:
    """Cuts a host's power: every process of it is gone at once, its disk stays as it was written.

    The cable goes first: a kernel that closes the connections of the dead would tell their peers.
    """
    first = cgroups.leader(lab, host.name)
    if first is None:
        raise LabError(f"{host.name} is off already")
    attempt("ip", "-n", lab.netns("switch"), "link", "delete", f"{host.segment}-{host.name}")
    os.kill(first, signal.SIGKILL)
    _gone(lab, host.name, seconds=10)


def await_up(lab: Lab, hosts: Collection[Host], seconds: float = 120) -> None:
    """Waits until hosts have finished starting and answer on ssh with their own key.

    Whether a unit failed on the way is for status.py to show. Raises LabError with the end of a console.
    """
    deadline = time.monotonic() + seconds
    with ThreadPoolExecutor(max_workers=len(hosts)) as pool:
        list(pool.map(lambda host: _started(lab, host, deadline), hosts))
    missing = {str(host.management.ip): host for host in hosts}
    scan = ("ssh-keyscan", "-t", "ed25519", "-T", "2")
    while missing:
        said = attempt(*within(lab.netns("control")), *scan, *missing).stdout
        for line in said.splitlines():
            address, _, key = line.partition(" ")
            if key == keys.public(lab, missing[address]):
                del missing[address]
        if missing and time.monotonic() > deadline:
            silent = ", ".join(host.name for host in missing.values())
            raise LabError(f"no answer on ssh with the right key from {silent}")


def remove(lab: Lab) -> None:
    """Ends every process of the lab, hosts and all, and removes its control groups."""
    for process in [*cgroups.leaders(lab), *cgroups.processes(lab, proxy.MEMBER)]:
        _end(process)
    for path in NETNS.glob(f"{lab.prefix}*"):
        for pid in run("ip", "netns", "pids", path.name).split():
            _end(int(pid))
    _gone(lab, "", seconds=5)
    cgroups.remove(lab)


def _started(lab: Lab, host: Host, deadline: float) -> None:
    said = "it did not start"
    while time.monotonic() < deadline:
        first = cgroups.leader(lab, host.name)
        if first:
            left = max(1, deadline - time.monotonic())
            state = attempt(*inside(first, "systemctl", "is-system-running", "--wait"), seconds=left)
            said = state.stdout.strip() or state.stderr.strip()
            if said in {"running", "degraded"}:
                return
        time.sleep(0.05)
    console = (lab.disk(host) / "console.log").read_text(errors="replace").splitlines()
    raise LabError("\n".join([f"{host.name} is not up: {said}; the end of its console:", *console[-8:]]))


def _gone(lab: Lab, member: str, seconds: float) -> None:
    """Waits for processes whose host was killed to end by themselves, then makes them."""
    deadline = time.monotonic() + seconds
    while left := cgroups.processes(lab, member):
        if time.monotonic() > deadline:
            for pid in left:
                _end(pid)
        time.sleep(0.02)


def _end(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
