"""Looks for secrets wherever a host could have left them. They come on standard input and stay in memory."""

import grp
import os
import pwd
import subprocess
from pathlib import Path
from typing import Any

PASSED_OVER = {"/proc", "/sys", "/dev", "/usr"}
"""What is no disk, and what packages brought (Python's too); what was put there otherwise is searched."""
OWN_KEYS = ("/etc/lucid/tls/*/*.key", "/etc/ssh/ssh_host_*_key")


def main(asked: dict[str, Any]) -> dict[str, Any]:
    """`asked`: forms (by secret's name, all its forms), roots (directories, or None for all).

    Secrets that only this host knows, its private keys, are looked for too. The answer names where which
    secret was found, of files owner, group and mode too, and how much was searched.
    """
    search = Search(asked["forms"] | _own_keys())
    roots = asked["roots"] or [*_tops(), "/usr/local", "/dev/shm"]  # noqa: S108 - to be searched
    files = [path for path in search.files(roots) if path.exists()]
    found = {str(path): {"secrets": search.names(path.read_bytes()), "owner": _owner(path)} for path in files}
    elsewhere = {}
    processes = list(_processes())
    for where, data in processes:
        if names := search.names(data):
            elsewhere[where] = names
    searched = {"processes": len(processes)}
    for where, command in _TOLD.items():
        searched[where], names = search.output(command)
        if names:
            elsewhere[where] = names
    return {"files": found, "elsewhere": elsewhere, "searched": searched}


_TOLD = {
    "units": ["systemctl", "cat", "--no-pager", "*"],
    "properties": ["systemctl", "show", "--all", "--no-pager", "*"],
    "journal": ["journalctl", "--no-pager", "--quiet", "-o", "export"],
}


class Search:
    """Secrets by name, as grep(1) and as Python looks for them."""

    def __init__(self, forms: dict[str, list[str]]) -> None:
        self._forms = {name: [form.encode() for form in each] for name, each in forms.items()}
        self._patterns = os.memfd_create("patterns", 0)
        os.write(self._patterns, b"\n".join(form for each in self._forms.values() for form in each))

    def files(self, roots: list[str]) -> list[Path]:
        """The files below `roots` that hold any."""
        listed = self._grep(
            "--recursive",
            "--files-with-matches",
            "--null",
            "--devices=skip",
            "--exclude-dir=site-packages",
            *roots,
        )
        done = subprocess.run(listed, stdout=subprocess.PIPE, pass_fds=[self._patterns], check=False)
        return [Path(os.fsdecode(path)) for path in done.stdout.split(b"\0") if path]

    def output(self, command: list[str]) -> tuple[int, list[str]]:
        """How many bytes a command says, and which secrets are among them."""
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        quick = subprocess.run(
            self._grep("--quiet"), input=done.stdout, pass_fds=[self._patterns], check=False
        )
        return len(done.stdout), self.names(done.stdout) if quick.returncode == 0 else []

    def names(self, data: bytes) -> list[str]:
        """The secrets in `data`."""
        return [name for name, forms in self._forms.items() if any(form in data for form in forms)]

    def _grep(self, *options: str) -> list[str]:
        patterns = f"--file=/proc/self/fd/{self._patterns}"
        return ["env", "LC_ALL=C", "grep", "--text", "--fixed-strings", "--no-messages", patterns, *options]


def _own_keys() -> dict[str, list[str]]:
    found = {}
    for pattern in OWN_KEYS:
        for path in Path("/").glob(pattern[1:]):
            # The lines of a PEM file, but for those that begin and end all of its kind.
            body = [line for line in path.read_text().splitlines() if line and not line.startswith("-----")]
            found[str(path)] = [line for line in body if not line.startswith("b3BlbnNzaC1rZXktdjE")]
    return found


def _tops() -> list[str]:
    return [str(top) for top in Path("/").iterdir() if str(top) not in PASSED_OVER and not top.is_symlink()]


def _processes() -> Any:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            for part in ("cmdline", "environ"):
                try:
                    yield f"{part} of a process", (entry / part).read_bytes()
                except OSError:
                    continue  # it has ended meanwhile


def _owner(path: Path) -> str:
    found = path.stat()
    user, group = pwd.getpwuid(found.st_uid).pw_name, grp.getgrgid(found.st_gid).gr_name
    return f"{user}:{group} {found.st_mode & 0o777:04o}"
