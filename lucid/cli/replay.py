"""`lucid replay`: the recording as a file that players play."""

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import click

from lucid.cli.api import Target
from lucid.cli.download import PIECE, Partial, fetch, whole_file
from lucid.cli.mp4_runs import Mp4Error, Run, find_runs
from lucid.cli.output import Failure, Misuse, err, out, run, size
from lucid.cli.target import late_target_options
from lucid.contracts import session_api
from lucid.contracts.types import SessionPath
from lucid.evidence import dsse, statements
from lucid.evidence.bundle import BundleReader
from lucid.evidence.disclosed import open_chunks, openers
from lucid.evidence.manifest import Manifest
from lucid.evidence.verify import verify
from lucid.kit.routes import Nothing, Route, Stream

JOIN_SECONDS = 600
PICTURE, EVENTS = 0, 1
"""The track that is played, and the one that is written beside it."""


@click.command(epilog="Example: lucid replay 018f2b6e-7c1d-4b3a-9e52-0c4d8a6f1b27 -o session.mp4")
@click.argument("session", metavar="[ID]", required=False)
@click.option(
    "--bundle",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Play the stretch that this bundle discloses, offline; instead of ID.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to; default ID.mp4.",
)
@late_target_options
def replay(
    session: str | None, bundle: Path | None, output: Path | None, find_target: Callable[[], Target]
) -> None:
    """Fetch the recording of session ID as a playable MP4 file.

    Where the capture was started anew, its parts are joined (this needs ffmpeg); where the screen changed its
    size they can't be, and become numbered files. Replaying proves nothing: `lucid verify` does. Each replay
    is put on record in the log first. With --bundle, nothing is fetched and no network is used.

    What was typed, clicked and copied, if the policy had that recorded, comes beside it as .events.jsonl.
    """
    if session and not bundle:
        made = fetch_replay(find_target(), SessionPath(session), output or Path(f"{session}.mp4"))
    elif bundle and not session:
        made = play_bundle(bundle, output)
    else:
        raise Misuse("name either the ID of a session or, with --bundle, a file")
    for path in made:
        out.print(str(path))


def play_bundle(bundle: Path, output: Path | None) -> list[Path]:
    """Writes what a bundle discloses as a recording; returns the files' names. Raises Failure."""
    with bundle.open("rb") as file:
        report = verify(file)
        if report.failure:
            raise Failure(f"{bundle} is refused at step {report.failure.number}: {report.failure.detail}")
        file.seek(0)
        reader = BundleReader(file)
        if not reader.parts.keys:
            raise Failure(
                f"{bundle} discloses nothing; `lucid bundle ID --from TIME --to TIME` fetches one that does"
            )

        session = reader.parts.session
        path = output or Path(f"{session}.mp4")
        beside = events_path(path)
        has_events = any(leaf.track == EVENTS for leaf, _ in openers(reader.parts).values())
        with contextlib.ExitStack() as stack:
            events = stack.enter_context(whole_file(beside)) if has_events else None

            def fetch_opened(whole: BinaryIO) -> int:
                pictures = 0
                for leaf, raw in open_chunks(reader):
                    if leaf.track == PICTURE:
                        pictures += whole.write(raw)
                    elif leaf.track == EVENTS and events:
                        events.write(raw)
                return pictures

            made = _play(fetch_opened, session, path)
        return [*made, beside] if has_events else made


def fetch_replay(target: Target, session: SessionPath, path: Path) -> list[Path]:
    """Writes the recording to `path`, or to numbered files beside it; returns their names. Raises Failure.

    The last one is that of the events, if it has any.
    """
    made = _play(lambda file: run(_fetch(target, session, file)), session.session, path)
    if not run(_has_events(target, session)):
        return made
    beside = events_path(path)
    with whole_file(beside) as file:
        run(_fetch(target, session, file, session_api.EVENTS))
    return [*made, beside]


def events_path(path: Path) -> Path:
    """Where the events go that belong to the recording in this file."""
    return path.with_name(f"{path.stem}.events.jsonl")


def _play(bring: Callable[[BinaryIO], int], session: str, path: Path) -> list[Path]:
    """Writes the recording that `bring` puts into a file, and returns the bytes of, as files that play."""
    with (
        tempfile.TemporaryDirectory(prefix="lucid-replay-", dir=path.parent) as scratch,
        (Path(scratch) / "whole.mp4").open("w+b") as file,
    ):
        received = bring(file)
        try:
            runs = find_runs(file)
        except Mp4Error as error:
            raise Failure(f"session {session}: {error}") from None
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
    alike = len({item.head for item in runs}) == 1
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
    with whole_file(path) as target:
        for begin, end in item.spans:
            file.seek(begin)
            while piece := file.read(min(PIECE, end - file.tell())):
                target.write(piece)


async def _fetch(
    target: Target,
    session: SessionPath,
    file: BinaryIO,
    route: Route[SessionPath, Nothing, Stream] = session_api.REPLAY,
) -> int:
    async with target.open() as api:
        return await fetch(api, route, session, Partial(file), "recording")


async def _has_events(target: Target, session: SessionPath) -> bool:
    async with target.open() as api:
        signed = await api.call(session_api.MANIFEST, session)
    said = statements.read(dsse.parse(signed.envelope.encode()), Manifest)
    return any(recorded.track == EVENTS for recorded in said.tracks)
