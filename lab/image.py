"""The base image: a minimal Debian that all hosts share read-only, built once by mmdebstrap and cached."""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lab import place, sources
from lab.run import run
from lab.sources import Source

# What a freshly installed server has and the lab itself needs; all else is the roles' to install.
PACKAGES = (
    *("systemd", "systemd-sysv", "libpam-systemd", "dbus", "udev", "openssh-server", "sudo"),
    *("python3", "python3-apt", "python3-venv", "ca-certificates", "iproute2", "iptables", "ipset"),
    *("procps", "curl", "acl", "iputils-ping"),
)
USER_ID = 1000
# A host's way to packages is the proxy; a second host may wait in it while a first fetches the same file.
APT = """\
Acquire::http::Proxy "http://{proxy}";
Acquire::http::Timeout "600";
"""
SUDO = "{user} ALL=(ALL) NOPASSWD: ALL\n"


def ready(user: str, proxy: str) -> Path:
    """The image's root directory, built first if it is not cached.

    `user` may become root with sudo without a password; `proxy` (address:port) serves packages.
    Raises LabError with what mmdebstrap said if it fails.
    """
    mirrors, options = sources.of_this_machine(), sources.options()
    commands = list(_mmdebstrap(user, mirrors, options))
    recipe = json.dumps([commands, [source.address for source in mirrors], proxy, APT, SUDO])
    root = place.CACHE / f"base-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    with locked(place.CACHE / "base.lock"):
        if not root.is_dir():
            scratch = root.with_suffix(".new")
            shutil.rmtree(scratch, ignore_errors=True)  # a build that was broken off, or none
            listed = "".join(source.lines() for source in mirrors)
            run(*commands, str(scratch), "-", given=listed, seconds=900)
            _furnish(scratch, user, proxy, mirrors, options)
            scratch.rename(root)
    return root


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Waits until no other process holds this lock, and holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _mmdebstrap(user: str, mirrors: Sequence[Source], options: dict[str, str]) -> Iterator[str]:
    yield from ("mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory", "--quiet")
    # Without apt's lists an update that is skipped as recent would leave the hosts without any package.
    yield from ("--skip=cleanup/apt/lists", f"--include={','.join(PACKAGES)}")
    yield from (f'--aptopt={name} "{value}"' for name, value in options.items())
    for key in {source.key for source in mirrors} - {""}:
        yield f'--setup-hook=mkdir -p "$1{Path(key).parent}" && cp {key} "$1{key}"'
    yield f'--customize-hook=chroot "$1" useradd --create-home --uid {USER_ID} --shell /bin/bash {user}'
    yield '--customize-hook=rm -f "$1"/etc/ssh/ssh_host_* && : >"$1/etc/machine-id"'
    yield '--customize-hook=rm -f "$1/etc/resolv.conf" && : >"$1/etc/resolv.conf"'
    # Made here so that the journal outlives a reboot, as on an installed server.
    yield '--customize-hook=mkdir -p "$1/var/log/journal"'
    yield sources.codename()


def _furnish(root: Path, user: str, proxy: str, mirrors: Sequence[Source], options: dict[str, str]) -> None:
    # The lists that apt has fetched stay valid: their names leave out whether TLS was used.
    _write(root / "etc/apt/sources.list", "".join(source.lines(plain=True) for source in mirrors))
    (root / "etc/apt/apt.conf.d/99mmdebstrap").unlink(missing_ok=True)  # this machine's proxy, not theirs
    checks = "".join(f'{name} "{value}";\n' for name, value in options.items() if "Check-" in name)
    _write(root / "etc/apt/apt.conf.d/01lab", APT.format(proxy=proxy) + checks)
    _write(root / "etc/sudoers.d/lab", SUDO.format(user=user), 0o440)
    _write(root / "etc/default/locale", "LANG=C.UTF-8\n")


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.write_text(text)
    path.chmod(mode)
