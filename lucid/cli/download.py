"""Downloads: there whole or not at all, and those that broke off go on where they stopped."""

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import aiohttp
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from lucid.cli.api import Api, ApiError, P
from lucid.cli.output import Failure, err
from lucid.kit.routes import Nothing, Route, Stream

PIECE = 256 * 1024
PAUSE_SECONDS = 0.5
COLUMNS = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())


class Partial:
    """What has come of a download so far, and the entity tag of what it is the beginning of."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.tag: str | None = None

    def restart(self, tag: str | None) -> None:
        """Forgets what has come; what comes now is the beginning of `tag`."""
        self.file.seek(0)
        self.file.truncate()
        self.tag = tag

    @property
    def size(self) -> int:
        """Bytes that have come."""
        return self.file.seek(0, os.SEEK_END)


class KeptPartial(Partial):
    """The same in files that outlive the command: PATH.part, and PATH.part.etag beside it."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        super().__init__(file)
        self._note = _note(path)
        with contextlib.suppress(FileNotFoundError):
            self.tag = self._note.read_text("ascii")

    def restart(self, tag: str | None) -> None:
        # In this order a crash leaves an old tag over nothing, never over another file's bytes.
        super().restart(tag)
        self._note.write_text(tag or "", "ascii")


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that becomes `path` when the context ends well, on disk before it has that name."""
    part = _part(path)
    try:
        with part.open("wb") as file:
            yield file
            _keep(file, part, path)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def resumable_file(path: Path) -> Iterator[KeptPartial]:
    """The same, but what has been written before a failure stays, for the next time to go on with."""
    part = _part(path)
    with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as file:
        yield KeptPartial(path, file)
        _keep(file, part, path)
    _note(path).unlink(missing_ok=True)


async def fetch(api: Api, route: Route[P, Nothing, Stream], params: P, partial: Partial, what: str) -> int:
    """Completes `partial` with the answer of a route, showing its progress; returns its size in bytes.

    A connection that breaks is followed by another while each brings something, or for half a minute.
    Raises ApiError, and Failure if the file cannot be written.
    """
    with Progress(*COLUMNS, console=err, disable=not err.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        since = time.monotonic()
        while True:
            before = partial.size
            try:
                await _go_on(api, route, params, partial, progress, task)
            except ApiError as error:
                if partial.size > before:
                    since = time.monotonic()
                if error.waited_out(since):
                    raise
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                return partial.size


async def _go_on(
    api: Api,
    route: Route[P, Nothing, Stream],
    params: P,
    partial: Partial,
    progress: Progress,
    task: TaskID,
) -> None:
    """Asks once for what is missing."""
    headers = {}
    if partial.tag and partial.size:
        # The last byte again, so that there is an answer even if nothing is missing.
        headers = {"Range": f"bytes={partial.size - 1}-", "If-Range": partial.tag}
    async with api.stream(route, params, headers) as answer:
        if answer.status == 206:
            partial.file.seek(partial.size - 1)
        else:
            partial.restart(answer.headers.get("ETag"))
        begin = partial.file.tell()
        total = None if answer.content_length is None else begin + answer.content_length
        progress.update(task, total=total, completed=begin)
        await _write(answer, partial.file, progress, task)


async def _write(answer: aiohttp.ClientResponse, file: BinaryIO, progress: Progress, task: TaskID) -> None:
    async for piece in answer.content.iter_chunked(PIECE):
        try:
            file.write(piece)
        except OSError as error:
            raise Failure(f"the download cannot be written: {error.strerror}") from None
        progress.update(task, advance=len(piece))


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _note(path: Path) -> Path:
    return path.with_name(path.name + ".part.etag")


def _keep(file: BinaryIO, part: Path, path: Path) -> None:
    """Gives a complete file its name, once it is on disk."""
    file.flush()
    os.fsync(file.fileno())
    part.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
