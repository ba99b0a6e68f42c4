"""Control groups for tests: real ones where this machine lets root make them, and ordinary files."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lucid.rdp import slots

MOUNT = Path("/sys/fs/cgroup")
HIERARCHIES = ("systemd", "cpu", "cpuacct", "memory", "blkio", "pids")


def write(group: Path, files: Mapping[str, str]) -> None:
    """Makes a group of ordinary files."""
    group.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (group / name).write_text(text)


class Real:
    """Real groups below a top of their own in each hierarchy, which `root` shows as a container sees them."""

    def __init__(self, root: Path, tops: Mapping[str, Path]) -> None:
        self.root = root
        self.tops = tops
        self.processes: list[subprocess.Popen[str]] = []

    def unit(self, port: int, name: str) -> None:
        """Makes a slot with one unit."""
        for top in self.tops.values():
            self.slice(top, port).joinpath(name).mkdir(parents=True)

    @staticmethod
    def slice(top: Path, port: int) -> Path:
        """A slot's group below a top."""
        return top.joinpath(*slots.PARENTS, slots.slice_of(port))

    def run(self, port: int, unit: str, program: str) -> "subprocess.Popen[str]":
        """Starts a Python program as a process of the unit. It begins when a line is written to it."""
        waiting = (
            f"import sys; sys.stdin.readline()\n{program}\nprint('done', flush=True); sys.stdin.readline()"
        )
        command = [sys.executable, "-I", "-c", waiting]
        made = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.processes.append(made)
        for top in self.tops.values():
            (self.slice(top, port) / unit / "cgroup.procs").write_text(str(made.pid))
        return made

    def end(self, port: int) -> None:
        """Removes a slot whose processes have ended."""
        for top in self.tops.values():
            remove(self.slice(top, port))


def remove(group: Path) -> None:
    """Removes a group and those below it."""
    for directory, _, _ in os.walk(group, topdown=False):
        Path(directory).rmdir()


def work(process: "subprocess.Popen[str]") -> None:
    """Has the program do its work, and returns when it has."""
    assert process.stdin
    assert process.stdout
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "done\n"


def leave(process: "subprocess.Popen[str]") -> int:
    """Has the program end; its exit status."""
    assert process.stdin
    assert process.stdout
    process.stdin.close()
    process.stdout.close()
    return process.wait(10)


def why_not() -> str:
    """Why there can be no real groups of version 1 here; nothing if there can."""
    if os.geteuid() != 0:
        return "only root makes control groups"
    missing = [name for name in HIERARCHIES if not (MOUNT / name / "cgroup.procs").exists()]
    return f"this machine has no hierarchy {', '.join(missing)}" if missing else ""


@contextmanager
def real(directory: Path) -> Iterator[Real]:
    """Groups of version 1, removed in the end."""
    name = f"lucid-test-{uuid.uuid4().hex}"
    tops = {each: MOUNT / each / name for each in HIERARCHIES}
    root = directory / "cgroup"
    root.mkdir()
    made = Real(root, tops)
    try:
        for each, top in tops.items():
            top.mkdir()
            (root / each).symlink_to(top)
        yield made
    finally:
        for process in made.processes:
            process.kill()
            leave(process)
        for top in tops.values():
            remove(top)
