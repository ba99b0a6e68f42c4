"""The lab as a whole: from nothing to hosts that answer on ssh, and back to nothing."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import hosts, image, keys, machine, network, proxy
from lab.errors import LabError
from lab.inventory import Host
from lab.place import Lab

PROGRAMS = Path(__file__).parent / "bin"
Progress = Callable[[str, float], None]  # what has been done, and the seconds it took


def up(
    lab: Lab, chosen: Collection[Host], progress: Progress, rules: str = "", rules6: str = ""
) -> list[Host]:
    """Brings hosts up to a working sshd; those that are up stay as they are. Returns those switched on.

    `rules` and `rules6` are what the router lets pass, for iptables-restore and ip6tables-restore; without
    them it stays as it is, and a new one forwards nothing. Raises LabError with what is wrong and its fix.
    """
    machine.check(lab.state)
    machine.widen()
    lab.state.mkdir(parents=True, exist_ok=True)
    with image.locked(lab.state / "lock"):
        _note(lab)
        with _phase(progress, "base image"):
            base = _base(lab)
        with _phase(progress, "networks and package proxy"):
            network.make(lab)
            network.route(lab, rules, rules6)
            proxy.start(lab)
        with _phase(progress, "disks and keys"):
            keys.make(lab)
            for host in chosen:
                hosts.furnish(lab, host)
            keys.acquaint(lab)
        with _phase(progress, f"{len(chosen)} hosts on, ssh answering"):
            started = [host for host in chosen if hosts.start(lab, host, base)]
            hosts.await_up(lab, chosen)
    return started


def start(lab: Lab, host: Host) -> None:
    """Switches on a host that was killed or has powered off, and waits until ssh answers."""
    if not (lab.disk(host) / "ports").exists():
        raise LabError(f"{host.name} has no disk yet; `python -m lab up --hosts {host.name}` makes it")
    hosts.start(lab, host, _base(lab))
    hosts.await_up(lab, [host])


def environment(lab: Lab) -> dict[str, str]:
    """What a command on the control host needs beside the caller's environment to reach the hosts."""
    return {
        "PATH": f"{PROGRAMS}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "LUCID_LAB": lab.name,
        "LUCID_LAB_STATE": str(lab.state),
        "LUCID_LAB_INVENTORY": lab.inventory.name,
        "ANSIBLE_HOME": str(lab.state / "ansible"),
        # Not under ANSIBLE_HOME by itself; two labs have the same addresses and must not share connections.
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(lab.state / "cp"),
        "ANSIBLE_VAULT_PASSWORD_FILE": str(lab.state / "vault-password"),
        "LUCID_LAB_MONGOD": str(lab.state / "mongod"),
        "ANSIBLE_FORKS": "16",
        "ANSIBLE_SSH_COMMON_ARGS": f"-F {lab.ssh_config}",
    }


def down(lab: Lab) -> None:
    """Removes all of a lab, whatever state it is in: processes, networks, control groups and files."""
    hosts.remove(lab)
    network.remove(lab)
    if lab.state.exists():
        shutil.rmtree(lab.state)


def _note(lab: Lab) -> None:
    """Remembers which inventory's hosts these are, so that nobody has to say it again."""
    before = lab.noted.read_text() if lab.noted.exists() else lab.inventory.name
    if before != lab.inventory.name:
        raise LabError(
            f"lab {lab.name} stands with the hosts of inventories/{before}; `python -m lab down` first,"
            f" or LUCID_LAB=NAME for one of inventories/{lab.inventory.name} beside it"
        )
    lab.noted.write_text(before)


def _base(lab: Lab) -> Path:
    """The image below the lab's disks: a disk is of use only on the very image that it was made on."""
    noted = lab.state / "base"
    if noted.exists():
        base = Path(noted.read_text())
        if not base.is_dir():
            raise LabError(f"{base}: this image of the lab's disks is gone; `python -m lab down`, then up")
        return base
    base = image.ready(lab.inventory.user, f"{lab.inventory.control.ip}:{proxy.PORT}")
    noted.write_text(str(base))
    return base


@contextmanager
def _phase(progress: Progress, what: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    progress(what, time.monotonic() - begun)
