"""ssh without questions and without trust on first use: all keys are made before the hosts start."""

import shutil
from pathlib import Path

from lab.image import USER_ID
from lab.inventory import Host
from lab.place import Lab
from lab.run import run

CONFIG = """\
Host *
  User {user}
  IdentityFile {key}
  IdentitiesOnly yes
  UserKnownHostsFile {known}
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  ConnectTimeout 10
"""


def make(lab: Lab) -> None:
    """Makes the key of the deploying user, once."""
    lab.ssh_config.parent.mkdir(exist_ok=True, mode=0o700)
    if not _own(lab).exists():
        _generate(_own(lab), "lab")


def acquaint(lab: Lab) -> None:
    """Writes the known hosts, and an ssh configuration with which their names are enough."""
    known = lab.ssh_config.with_name("known_hosts")
    made = [host for host in lab.inventory.hosts.values() if _private(lab, host).exists()]
    known.write_text("".join(f"{h.name},{h.management.ip} {public(lab, h)}\n" for h in made))
    names = "".join(f"Host {host.name}\n  HostName {host.management.ip}\n" for host in made)
    own = _own(lab)
    lab.ssh_config.write_text(CONFIG.format(user=lab.inventory.user, key=own, known=known) + names)


def install(lab: Lab, host: Host) -> None:
    """Gives a host, which has not started yet, its own key, and lets the deploying user in."""
    key, home = _private(lab, host), lab.disk(host) / "upper/home" / lab.inventory.user
    key.parent.mkdir(parents=True)
    _generate(key, host.name)
    home.mkdir(parents=True)
    (home / ".ssh").mkdir(mode=0o700)
    allowed = home / ".ssh/authorized_keys"
    allowed.write_text(_public(_own(lab)) + "\n")
    for path in (home, home / ".ssh", allowed):
        shutil.chown(path, USER_ID, USER_ID)


def public(lab: Lab, host: Host) -> str:
    """The key by which a host is known: its kind and the key."""
    return _public(_private(lab, host))


def _own(lab: Lab) -> Path:
    return lab.ssh_config.with_name("key")


def _private(lab: Lab, host: Host) -> Path:
    return lab.disk(host) / "upper/etc/ssh/ssh_host_ed25519_key"


def _public(key: Path) -> str:
    return " ".join(key.with_name(f"{key.name}.pub").read_text().split()[:2])


def _generate(path: Path, comment: str) -> None:
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path))
