"""Downloads that are there whole or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from lucid.cli.api import Api, P
from lucid.cli.output import err
from lucid.kit.routes import Nothing, Route, Stream

PIECE = 256 * 1024


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that becomes `path` when the context ends well, on disk before it has that name."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


async def fetch(api: Api, route: Route[P, Nothing, Stream], params: P, file: BinaryIO, what: str) -> int:
    """Writes the answer of a route into `file`, showing its progress; returns the number of bytes."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal) as progress:
        async with api.stream(route, params) as answer:
            task = progress.add_task(what, total=answer.content_length)
            received = 0
            async for piece in answer.content.iter_chunked(PIECE):
                file.write(piece)
                received += len(piece)
                progress.update(task, advance=len(piece))
    return received
