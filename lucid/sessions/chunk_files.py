"""Sealed chunks as files. All functions block on the disk: call them in a thread.

    ROOT/<session>/<track>/<index>-<first 16 hex digits of the sealed SHA-256>

The digest in the name keeps two sealings of one chunk apart: whichever loses the race for the record can be
removed without touching the winner.
"""

import contextlib
import errno
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from lucid.evidence.leaf import ChunkId
from lucid.kit.errors import StorageFull
from lucid.sessions.durable import sync_directory, write_durably

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
READ_SIZE = 1024 * 1024


class ChunkFiles:
    """The directory that sealed chunks live in; `reserve` bytes of its disk are left free."""

    def __init__(self, root: Path, reserve: int) -> None:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root = root
        self.reserve = reserve

    def write(self, chunk: ChunkId, digest: str, data: bytes | bytearray | memoryview) -> Path:
        """Makes a chunk durable: file fsync, rename, directory fsync. Raises StorageFull, nothing written."""
        if self.free() < self.reserve + len(data):
            raise StorageFull(
                f"less than {self.reserve} bytes are free where chunks are kept; free some space"
            )
        path = self.path(chunk, digest)
        try:
            self._make_directory(path.parent)
            write_durably(path, [memoryview(data)])
        except OSError as error:
            if error.errno in _FULL:
                raise StorageFull(
                    f"the disk that chunks are kept on takes no more: {error.strerror}"
                ) from error
            raise
        return path

    def read(self, chunk: ChunkId, digest: str) -> Iterator[bytes]:
        """The chunk's bytes, piece by piece."""
        with self.path(chunk, digest).open("rb") as file:
            while piece := file.read(READ_SIZE):
                yield piece

    def remove(self, chunk: ChunkId, digest: str) -> None:
        """Removes a file that no record names."""
        with contextlib.suppress(FileNotFoundError):
            self.path(chunk, digest).unlink()

    def free(self) -> int:
        """Bytes that may still be written to the disk."""
        return shutil.disk_usage(self.root).free

    def older_than(self, seconds: float) -> Iterator[tuple[ChunkId | None, Path]]:
        """Every file last changed before then; None for what is no chunk, such as a torn temporary file."""
        limit = time.time() - seconds
        for path in self.root.glob("*/*/*"):
            try:
                if path.stat().st_mtime >= limit:
                    continue
                yield ChunkId(path.parts[-3], int(path.parts[-2]), int(path.name.partition("-")[0])), path
            except (ValueError, FileNotFoundError):
                yield None, path

    def path(self, chunk: ChunkId, digest: str) -> Path:
        """Where the chunk with this sealed digest is."""
        return self.root / chunk.session / str(chunk.track) / f"{chunk.index:08d}-{digest[:16]}"

    def _make_directory(self, directory: Path) -> None:
        if directory.is_dir():
            return
        self._make_directory(directory.parent)
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=0o700)
        sync_directory(directory.parent)
