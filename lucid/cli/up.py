"""`lucid up`: the whole journey on one machine, from pixels to proof."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import click

from lucid.cli import desktop, dev, report
from lucid.cli.api import Target
from lucid.cli.bundle import fetch_bundle
from lucid.cli.output import Failure, print_json, run
from lucid.cli.record import meter, record_desktop
from lucid.cli.replay import fetch_replay
from lucid.cli.report import Files, Proven, Timing
from lucid.cli.sessions import Details
from lucid.cli.target import json_option, resolve, state_option
from lucid.cli.trust import fetch_trust
from lucid.contracts import session_api
from lucid.contracts.session_access import BundleQuery
from lucid.contracts.session_api import CreateSession
from lucid.contracts.types import SessionPath
from lucid.dev import running
from lucid.dev.layout import State
from lucid.evidence import trust as trust_file
from lucid.evidence.steps import Report
from lucid.evidence.verify import verify

SCREEN = "1280x720"
FRAME_SECONDS = 60


@click.command(epilog="Examples: lucid up; lucid up --seconds 60 --json")
@click.option(
    "--seconds", type=click.IntRange(2, 3600), default=20, show_default=True, help="How long to record."
)
@json_option
@state_option
@click.pass_context
def up(context: click.Context, seconds: int, as_json: bool, directory: Path | None) -> None:
    """Start the stack, record a real desktop, anchor it, and prove it offline.

    The desktop has a window manager, a scrolling terminal and a clock, on an X server of its own. The bundle,
    the trust file, the recording and one frame of it stay in the state directory under proof/. The stack is
    left running; `lucid dev stop` ends it.
    """
    state, timings = State.at(directory), Stopwatch()
    with timings.measure("start"):
        if running.find(state) is None:
            dev.detach(state, fresh=False)
    target = resolve(None, None, None, state.directory)
    proof = state.directory / "proof"
    proof.mkdir(mode=0o700, exist_ok=True)
    details = _record(target, seconds, timings)
    files = fetch(target, details.session.id, proof, timings)
    with timings.measure("verify"):
        verification = verify_files(files)
    proven = Proven(details=details, verification=verification, files=files, timings=tuple(timings.measured))
    print_json(proven) if as_json else report.show(proven)
    context.exit(verification.outcome.exit_code)


class Stopwatch:
    """Measures the parts of the journey."""

    def __init__(self) -> None:
        self.measured: list[Timing] = []

    @contextmanager
    def measure(self, what: str) -> Iterator[None]:
        """Notes how long the context lasts."""
        begin = time.monotonic()
        yield
        self.measured.append(Timing(what, round(time.monotonic() - begin, 2)))


def _record(target: Target, seconds: int, timings: Stopwatch) -> Details:
    with resources.as_file(resources.files("lucid.cli") / "moving-desktop") as script:
        command = ("bash", str(script))
        with (
            timings.measure("record and anchor"),
            desktop.started(command, SCREEN) as found,
            meter(seconds) as show,
        ):
            how = CreateSession(name="lucid up")
            details = run(record_desktop(target, how, found, float(seconds), wait=True, show=show))
    if details.session.state != "completed":
        raise Failure(f"the session is {details.session.state}: {details.session.error or 'see the logs'}")
    return details


def fetch(target: Target, session: str, proof: Path, timings: Stopwatch) -> Files:
    """Fetches bundle, trust file and recording of a session into `proof`, and a frame of it."""
    bundle, trust = proof / f"{session}.lucid", proof / "trust.json"
    recording, frame = proof / f"{session}.mp4", proof / f"{session}.png"
    with timings.measure("export"):
        run(fetch_bundle(target, session_api.BUNDLE, BundleQuery(session), bundle))
        trust.write_bytes(run(fetch_trust(target)))
    with timings.measure("replay"):
        recording = fetch_replay(target, SessionPath(session), recording)[0]
        _extract_frame(recording, frame)
    return Files(bundle=str(bundle), trust=str(trust), recording=str(recording), frame=str(frame))


def verify_files(files: Files) -> Report:
    """Verifies the fetched bundle by the fetched trust file, offline."""
    trust = trust_file.parse(Path(files.trust).read_bytes())
    with Path(files.bundle).open("rb") as file:
        return verify(file, trust)


def _extract_frame(recording: Path, frame: Path) -> None:
    """One frame from the middle of a recording, as PNG."""
    if shutil.which("ffmpeg") is None:
        raise Failure("ffmpeg is not on PATH; install it (package ffmpeg)")
    probe = ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", str(recording)]
    middle = float(_output(probe)) / 2
    _output(
        ["ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-ss", f"{middle:.2f}", "-i", str(recording),
         "-frames:v", "1", str(frame)]
    )  # fmt: skip


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=FRAME_SECONDS)
    except subprocess.CalledProcessError as error:
        raise Failure(f"{command[0]}: {error.stderr.strip()}") from None
    return done.stdout
