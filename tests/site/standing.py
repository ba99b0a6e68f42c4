"""What tests do with a site that stands: commands on its hosts over ssh, playbooks, calls to its gateway."""

import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from lab import lifecycle
from lab.place import REPOSITORY, Lab
from lab.run import within
from lucid import catalog
from lucid.cli.api import Target
from lucid.deploy import site as sites
from lucid.deploy.flows import Flow, flows
from lucid.dev.operator import Operator

INVENTORY = "inventories/lab"
GATEWAY_PORT = 8081


class Site:
    """A deployed lab. Commands run from its control host, as an operator's would."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.hosts = lab.inventory.hosts
        self.catalog = catalog.load()
        self.described = sites.read(REPOSITORY / INVENTORY)

    def flows(self) -> tuple[Flow, ...]:
        """Who may talk to whom, from catalogue and inventory."""
        return flows(self.catalog, self.described)

    def control(
        self,
        *command: str,
        given: str | None = None,
        seconds: float = 60,
        check: bool = True,
        directory: Path = REPOSITORY,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command on the control host; its failure fails the test, unless `check` is False."""
        done = subprocess.run(
            [*within(self.lab.netns("control")), *command],
            cwd=directory,
            env=os.environ | lifecycle.environment(self.lab),
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{command}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done

    def on(
        self,
        host: str,
        *command: str,
        user: str = "root",
        given: str | None = None,
        seconds: float = 60,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command on a host over ssh, as a unix user of that host."""
        as_user = ("sudo", "-u", user, "--", *command)
        return self.control("ssh", host, shlex.join(as_user), given=given, seconds=seconds, check=check)

    def begin(self, *command: str) -> subprocess.Popen[str]:
        """Starts a command on the control host, its input and output as pipes; the caller sees to its end."""
        return subprocess.Popen(
            [*within(self.lab.netns("control")), *command],
            cwd=REPOSITORY,
            env=os.environ | lifecycle.environment(self.lab),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def playbook(
        self,
        name: str,
        *arguments: str,
        seconds: float = 900,
        check: bool = True,
        directory: Path = REPOSITORY,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a playbook against the site, as an operator does; of another checkout, if that is given."""
        command = ("ansible-playbook", "-i", INVENTORY, name, *arguments)
        return self.control(*command, seconds=seconds, check=check, directory=directory)

    def target(self) -> Target:
        """The site's gateway, for a signed-in super_admin.

        The address is on the management network, which only the control host reaches: calls have to be made
        from there, so by `control(sys.executable, "-m", ...)`.
        """
        state = self.lab.state
        account = msgspec.json.decode((state / "operator.json").read_bytes(), type=Operator)
        gateway = self.lab.inventory.find("edge")[0].management.ip
        return Target(f"https://{gateway}:{GATEWAY_PORT}", state / "ca.crt", operator=account)

    def wait(self, what: str, condition: Callable[[], bool], seconds: float = 60) -> float:
        """Waits until a condition holds; returns how long that took, in seconds."""
        begun = time.monotonic()
        while time.monotonic() < begun + seconds:
            with suppress(subprocess.TimeoutExpired):
                if condition():
                    return time.monotonic() - begun
            time.sleep(0.2)
        raise AssertionError(f"within {seconds:g} s: not {what}")


def changes(played: str) -> dict[str, int]:
    """Each host's number of changes, from a playbook's recap."""
    recap = played.rpartition("PLAY RECAP")[2]
    found = re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+) ", recap, re.MULTILINE)
    return {host: int(count) for host, count in found}
