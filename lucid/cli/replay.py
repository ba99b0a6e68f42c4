"""`lucid replay`: the recording as a file that players play."""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import click

from lucid.cli.api import Target
from lucid.cli.download import PIECE, fetch, whole_file
from lucid.cli.mp4_runs import Mp4Error, Run, find_runs
from lucid.cli.output import Failure, err, out, run, size
from lucid.cli.target import target_options
from lucid.contracts import session_api
from lucid.contracts.types import SessionPath

JOIN_SECONDS = 600


@click.command(epilog="Example: lucid replay 018f2b6e-7c1d-4b3a-9e52-0c4d8a6f1b27 -o session.mp4")
@click.argument("session", metavar="ID")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to; default ID.mp4.",
)
@target_options
def replay(session: str, output: Path | None, target: Target) -> None:
    """Fetch the recording of session ID as a playable MP4 file.

    Where the capture was started anew, its parts are joined (this needs ffmpeg); where the screen changed its
    size they can't be, and become numbered files. Replaying proves nothing: `lucid verify` does.
    """
    made = fetch_replay(target, SessionPath(session), output or Path(f"{session}.mp4"))
    for path in made:
        out.print(str(path))


def fetch_replay(target: Target, session: SessionPath, path: Path) -> list[Path]:
    """Writes the recording to `path`, or to numbered files beside it; returns their names. Raises Failure."""
    with (
        tempfile.TemporaryDirectory(prefix="lucid-replay-", dir=path.parent) as scratch,
        (Path(scratch) / "whole.mp4").open("w+b") as file,
    ):
        received = run(_fetch(target, session, file))
        try:
            runs = find_runs(file)
        except Mp4Error as error:
            raise Failure(f"session {session.session}: {error}") from None
        made = write(file, runs, path, Path(scratch))
    err.print(f"{size(received)} in {len(runs)} run(s) of the capture")
    return made


def write(file: BinaryIO, runs: Sequence[Run], path: Path, scratch: Path) -> list[Path]:
    """Writes the runs of `file` to `path`, or to numbered files beside it; returns their names.

    Raises Failure if there are none or they cannot be joined.
    """
    if not runs:
        raise Failure("nothing has been recorded")
    if len(runs) == 1:
        _copy(file, runs[0], path)
        return [path]
    heads = {_read(file, item.begin, item.head) for item in runs}
    alike = len(heads) == 1
    directory = scratch if alike else path.parent
    parts = [directory / f"{path.stem}-{number}{path.suffix}" for number in range(1, len(runs) + 1)]
    for item, part in zip(runs, parts, strict=True):
        _copy(file, item, part)
    if not alike:
        return parts
    _join(parts, path, scratch)
    return [path]


def _join(parts: Sequence[Path], path: Path, scratch: Path) -> None:
    """One file of several that were encoded alike, without encoding anything again."""
    if shutil.which("ffmpeg") is None:
        raise Failure(f"the recording has {len(parts)} parts, and ffmpeg, which joins them, is not on PATH")
    names = scratch / "parts.txt"
    names.write_text("".join(f"file '{part.name}'\n" for part in parts))
    joined = scratch / "joined.mp4"
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-f", "concat", "-i", str(names), "-c", "copy"]
    try:
        subprocess.run(
            [*command, str(joined)], check=True, capture_output=True, text=True, timeout=JOIN_SECONDS
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise Failure(f"ffmpeg cannot join the recording's parts: {_reason(error)}") from None
    joined.replace(path)


def _reason(error: subprocess.CalledProcessError | subprocess.TimeoutExpired) -> str:
    said = error.stderr.strip() if isinstance(error.stderr, str) else ""
    return said or str(error)


def _copy(file: BinaryIO, item: Run, path: Path) -> None:
    file.seek(item.begin)
    left = item.end - item.begin
    with whole_file(path) as target:
        while left:
            piece = file.read(min(PIECE, left))
            target.write(piece)
            left -= len(piece)


def _read(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    return file.read(length)


async def _fetch(target: Target, session: SessionPath, file: BinaryIO) -> int:
    async with target.open() as api:
        return await fetch(api, session_api.REPLAY, session, file, "recording")
