"""Small disks that fill up: real file systems in memory, mounted for the time of a test."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024


@dataclass(frozen=True)
class Disk:
    """A mounted file system."""

    path: Path

    def resize(self, mib: int) -> None:
        _run("mount", "-o", f"remount,size={mib}m", str(self.path))

    def read_only(self) -> None:
        """By a second mount over the first: whoever has a file open would keep the first one busy."""
        _run("mount", "--bind", str(self.path), str(self.path))
        _run("mount", "-o", "remount,bind,ro", str(self.path))

    def writable(self) -> None:
        _run("umount", str(self.path))

    def fill(self) -> Path:
        """Takes all the room there is, as somebody else on the disk may; returns the file to be removed."""
        ballast = self.path / "ballast"
        with ballast.open("wb") as file:
            disk = os.statvfs(self.path)
            os.posix_fallocate(file.fileno(), 0, disk.f_bavail * disk.f_frsize)
        return ballast


@contextmanager
def disk(path: Path, mib: int) -> Iterator[Disk]:
    """A disk of this size at `path`. Mounting one needs root."""
    path.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    assert mounted.returncode == 0, (
        f"a full disk needs a small one, and mounting needs root: {mounted.stderr}"
    )
    try:
        yield Disk(path)
    finally:
        while path.is_mount():  # twice, if a test failed while the disk was read-only
            _run("umount", "--lazy", str(path))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=10)
