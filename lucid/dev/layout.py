"""Where the stack keeps what: one directory, readable by its owner only.

stack.lock       held while a stack runs
stack.json       what runs, for other commands
operator.json    the first account
tls/             the throwaway authority and the services' certificates
credentials/     one directory for each service, with its secrets only
services/        one directory for each service, with what it keeps
mongodb/ redis/  the databases' files
logs/            one file for each process
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from lucid.dev.errors import StackError

DEFAULT = Path(".state")


@dataclass(frozen=True, slots=True)
class State:
    """The state directory, an absolute path."""

    directory: Path

    @classmethod
    def at(cls, directory: Path | None = None) -> "State":
        """The given directory, else `$LUCID_STATE`, else `.state` in the current one."""
        return cls((directory or Path(os.environ.get("LUCID_STATE") or DEFAULT)).absolute())

    @property
    def lock(self) -> Path:
        return self.directory / "stack.lock"

    @property
    def running(self) -> Path:
        return self.directory / "stack.json"

    @property
    def operator(self) -> Path:
        return self.directory / "operator.json"

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    @property
    def tls(self) -> Path:
        return self.directory / "tls"

    def credentials(self, service: str) -> Path:
        """Directory of the service's secrets."""
        return self.directory / "credentials" / service

    def service(self, service: str) -> Path:
        """Directory of what the service keeps."""
        return self.directory / "services" / service

    def log(self, name: str) -> Path:
        """Log file of a process."""
        return self.logs / f"{name}.log"

    def create(self) -> None:
        """Makes the directory, for its owner only. Raises StackError."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.directory.chmod(0o700)
        except OSError as error:
            raise StackError(
                f"the state directory {self.directory} cannot be made: {error.strerror};"
                " name another with --state or LUCID_STATE"
            ) from None

    def clear(self) -> None:
        """Removes what earlier runs left, and nothing that is not the stack's. Call it under the lock."""
        for name in ("credentials", "services", "tls", "mongodb", "redis", "logs"):
            if (self.directory / name).exists():
                shutil.rmtree(self.directory / name)
        for path in (self.running, self.operator):
            path.unlink(missing_ok=True)


def write_private(path: Path, content: bytes) -> None:
    """Writes a file that only its owner can read; no reader sees it half."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        os.fsync(file.fileno())
    fresh.replace(path)
