"""Fetched package files on disk: which there are, how old they are, and new ones put in place whole."""

import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from typing import IO

UNCHANGING = re.compile(r"\.u?deb$|/by-hash/")


class Kept:
    """One file of the cache. Its date of modification is the mirror's; its date of change is ours."""

    def __init__(self, cache: Path, name: str) -> None:
        self.path = cache / name

    def exists(self) -> bool:
        """Whether the file has been fetched before."""
        return self.path.exists()

    def current(self, fresh: float) -> bool:
        """Whether the file needs no asking at the mirror: it never changes, or was asked for just now."""
        if not self.exists():
            return False
        return bool(UNCHANGING.search(str(self.path))) or time.time() - self.path.stat().st_ctime < fresh

    def modified(self) -> str:
        """When the mirror last changed the file, as HTTP writes dates."""
        return formatdate(self.path.stat().st_mtime, usegmt=True)

    def confirm(self, modified: str) -> None:
        """Notes that the file is the mirror's of just now, and the date that the mirror gave it, if any."""
        seconds = parsedate_to_datetime(modified).timestamp() if modified else self.path.stat().st_mtime
        os.utime(self.path, (time.time(), seconds))

    @contextmanager
    def written(self) -> Iterator[IO[bytes]]:
        """A file to write, which takes the place of this one when it is whole."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self.path.parent, delete=False) as file:
            scratch = Path(file.name)
            try:
                yield file
                file.flush()
                scratch.chmod(0o644)
                scratch.replace(self.path)
            finally:
                scratch.unlink(missing_ok=True)
