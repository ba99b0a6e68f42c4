"""Writing files so that a crash or a power cut at any moment leaves either the whole file or none.

The way (fsync(2), rename(2)): write under a temporary name, fsync the file, rename it into place, fsync the
directory. Files are readable by their owner only.
"""

import os
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path

TEMPORARY_SUFFIX = ".tmp"


def open_privately(path: Path, flags: int) -> int:
    """A descriptor of the file, which is made for its owner only if need be. A symbolic link is refused."""
    return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def write_durably(
    path: Path, parts: Iterable[bytes | bytearray | memoryview], *, shared: bool = False
) -> None:
    """Write or replace ``path``; durable on return. On failure the temporary file is removed.

    ``shared``: somebody else may write the same ``path`` at this moment, so the temporary file needs a name
    of its own; with a common one, the slower writer would truncate what the faster has called durable.

    Raises:
        OSError: as the file system says, for example ENOSPC.
    """
    own = f".{secrets.token_hex(8)}" if shared else ""
    temporary = path.with_name(f"{path.name}{own}{TEMPORARY_SUFFIX}")
    try:
        with os.fdopen(open_privately(temporary, os.O_WRONLY | os.O_TRUNC), "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable: those that came, went, or were renamed."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Journal:
    """An append-only file of lines, each durable when ``append`` returns.

    A last line that a crash has torn is cut off when the journal is opened.
    """

    def __init__(self, path: Path) -> None:
        created = not path.exists()
        self._file = os.fdopen(open_privately(path, os.O_WRONLY | os.O_APPEND), "ab", buffering=0)
        if created:
            sync_directory(path.parent)
        content = path.read_bytes()
        self._size = content.rfind(b"\n") + 1
        if self._size != len(content):
            self._cut()
        self.lines = content[: self._size].splitlines()

    def append(self, lines: Sequence[bytes]) -> None:
        """Raises ValueError for a line with a line break in it, OSError if they cannot be made durable."""
        if any(line.splitlines() != [line] for line in lines):
            raise ValueError("a journal line is not empty and holds no line break")
        rest = b"".join(line + b"\n" for line in lines)
        size = len(rest)
        try:
            while rest:  # a raw file may take less than it is given
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except BaseException:
            self._cut()
            raise
        self._size += size
        self.lines += lines

    def close(self) -> None:
        self._file.close()

    def _cut(self) -> None:
        """Back to the last whole line."""
        self._file.truncate(self._size)
        os.fsync(self._file.fileno())
