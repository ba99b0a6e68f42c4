"""Sealed chunks as files. All functions block on the disk: call them in a thread.

    ROOT/<session>/<track>/<index>-<first 16 hex digits of the sealed SHA-256>

The digest in the name keeps two sealings of one chunk apart: whichever loses the race for the record can be
removed without touching the winner.
"""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from lucid.contracts.types import MAX_SEALED
from lucid.evidence.leaf import ChunkId
from lucid.kit.durable import sync_directory, write_durably
from lucid.kit.errors import StorageFull

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
READ_SIZE = 1024 * 1024
ERASING = ".erasing-"
"""Begins the name that a session's directory gets when it is to go."""
REMEMBERED = 10_000
"""Directories whose names are known to be durable; beyond these they are simply made sure of again."""


class ChunkFiles:
    """The directory that sealed chunks live in; `reserve` bytes of its disk are left free."""

    def __init__(self, root: Path, reserve: int) -> None:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root = root
        self.reserve = reserve
        self._durable: set[Path] = set()
        self._clear()

    def write(self, chunk: ChunkId, digest: str, data: bytes | bytearray | memoryview) -> Path:
        """Makes a chunk durable: file fsync, rename, directory fsync.

        Raises StorageFull, nothing written; FileNotFoundError if the session is erased meanwhile.
        """
        self.require_room(len(data))
        path = self.path(chunk, digest)
        try:
            self._make_directory(path.parent)
            write_durably(path, [memoryview(data)], shared=True)
        except OSError as error:
            if error.errno in _FULL:
                raise StorageFull(
                    f"the disk that chunks are kept on takes no more: {error.strerror}"
                ) from error
            raise
        return path

    def read(self, chunk: ChunkId, digest: str, first: int, stop: int) -> Iterator[bytes]:
        """The chunk's bytes from `first` to before `stop`, piece by piece."""
        with self.path(chunk, digest).open("rb") as file:
            file.seek(first)
            while piece := file.read(min(READ_SIZE, stop - file.tell())):
                yield piece

    def remove(self, chunk: ChunkId, digest: str) -> None:
        """Removes a file that no record names."""
        with contextlib.suppress(FileNotFoundError):
            self.path(chunk, digest).unlink()

    def erase(self, session: str) -> None:
        """Removes all files of a session, durably.

        Its directory is set aside first: a chunk that is being written must not keep it from being emptied.
        """
        with contextlib.suppress(FileNotFoundError):
            (self.root / session).rename(self.root / f"{ERASING}{secrets.token_hex(8)}")
        sync_directory(self.root)
        self._clear()

    def _clear(self) -> None:
        """Removes what was set aside, by an earlier process too. Two at once do each other no harm."""
        for path in self.root.glob(f"{ERASING}*"):
            while path.exists():
                try:
                    shutil.rmtree(path)
                except FileNotFoundError:
                    continue  # the other one was faster
                except OSError as error:
                    # A writer whose path was being looked up when the directory was set aside.
                    if error.errno != errno.ENOTEMPTY:
                        raise
        sync_directory(self.root)

    def free(self) -> int:
        """Bytes that may still be written to the disk; none to one that is mounted read-only."""
        disk = os.statvfs(self.root)
        return 0 if disk.f_flag & os.ST_RDONLY else disk.f_bavail * disk.f_frsize

    def require_room(self, size: int = MAX_SEALED) -> None:
        """Raises StorageFull unless a chunk of `size` bytes may be written."""
        if self.free() < self.reserve + size:
            raise StorageFull(
                f"the disk that chunks are kept on is read-only, or less than {self.reserve} bytes would stay"
                f" free on it after a chunk; free some space under {self.root}"
            )

    def sessions(self) -> list[str]:
        """The sessions that have files here."""
        return [path.name for path in self.root.iterdir() if path.is_dir() and path.name[0] != "."]

    def of_session(self, session: str) -> set[Path]:
        """The session's files, temporary ones that a crash has left among them."""
        return set((self.root / session).glob("*/*"))

    def path(self, chunk: ChunkId, digest: str) -> Path:
        """Where the chunk with this sealed digest is."""
        return self.root / chunk.session / str(chunk.track) / f"{chunk.index:08d}-{digest[:16]}"

    def _make_directory(self, directory: Path) -> None:
        """Makes a directory's name durable.

        That it is there is not enough: whoever made it may be about to sync its name, or have died before.
        """
        if directory in self._durable and directory.is_dir():
            return
        if directory != self.root:
            self._make_directory(directory.parent)
            with contextlib.suppress(FileExistsError):  # exist_ok would fail if it went at this moment
                directory.mkdir(mode=0o700)
        sync_directory(directory.parent)
        if len(self._durable) >= REMEMBERED:
            self._durable.clear()
        self._durable.add(directory)
