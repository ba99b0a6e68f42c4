"""`python -m lab journey`: the whole site onto the lab's hosts, and a recording through it, proved.

What needs this machine's network (package index, mirrors) is done here; what needs the lab's, in its control
host's.
"""

import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

from lab import lifecycle
from lab.errors import LabError
from lab.place import REPOSITORY, Lab
from lab.run import NETNS, within
from lucid import catalog
from lucid.deploy import rules
from lucid.deploy.errors import SiteError
from lucid.deploy.flows import flows
from lucid.deploy.release import build
from lucid.deploy.site import read
from lucid.dev import binaries
from lucid.dev.errors import StackError

PYTHON = "3.11"
"""Of the hosts, which are Debian 12."""


def router_rules(lab: Lab) -> tuple[str, str]:
    """What the router between the segments lets pass, IPv4 and IPv6: the flows from one to the other."""
    try:
        site = read(lab.inventory.path.parent)
        found = flows(site.adapted(catalog.shipped()), site)
    except SiteError as error:
        raise LabError(str(error)) from None
    return rules.forward(site, found, 4), rules.forward(site, found, 6)


def prepare(lab: Lab) -> None:
    """What the playbooks take from the state directory: the vault's password, the release, mongod.

    Raises LabError.
    """
    password = lab.state / "vault-password"
    if not password.exists():
        descriptor = os.open(password, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
    try:
        build(REPOSITORY, lab.state / "release", PYTHON)
        mongod = binaries.find(binaries.MONGOD)
    except (SiteError, StackError) as error:
        raise LabError(str(error)) from None
    link = lab.state / "mongod"
    link.unlink(missing_ok=True)
    link.symlink_to(mongod)


def deploy(lab: Lab) -> float:
    """Runs the playbooks with their progress to be seen; returns the seconds. Raises LabError."""
    begin = time.monotonic()
    for name in ("playbooks/secrets.yml", "site.yml"):
        play(lab, name)
    return time.monotonic() - begin


def prove(lab: Lab, seconds: int) -> None:
    """Works in a remote desktop and proves its recording on the control host. Raises LabError."""
    play(lab, "lab/operator.yml")
    inside(lab, sys.executable, "-m", "lab.prove", str(lab.state), str(seconds))


def play(lab: Lab, name: str) -> None:
    """Runs a playbook on the control host, on this terminal. Raises LabError if it fails."""
    inside(lab, "ansible-playbook", "-i", inventory(lab), name)


def inventory(lab: Lab) -> str:
    """What Ansible is given: the inventory's directory, as seen from the repository's."""
    return str(lab.inventory.path.parent.relative_to(REPOSITORY))


def inside(lab: Lab, *command: str) -> None:
    """Runs a command on the control host, on this terminal. Raises LabError if it fails."""
    if not (NETNS / lab.netns("control")).exists():
        raise LabError("the lab is down; `python -m lab up` first")
    environment = os.environ | lifecycle.environment(lab)
    done = subprocess.run(
        [*within(lab.netns("control")), *command], cwd=REPOSITORY, env=environment, check=False
    )
    if done.returncode:
        shown = " ".join(Path(part).name if part.startswith("/") else part for part in command)
        raise LabError(f"`{shown}` ended with status {done.returncode}; what went wrong stands above")
