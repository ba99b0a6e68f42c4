"""Runs on the control host: records the lab's desktop until told to stop, and proves the recording.

`python -m tests.site.recording DIRECTORY`. A line on standard input ends the capture. Prints JSON lines:
first `session`, then `silent` (seconds) for each question that was answered late, last an `End` as `end`.
"""

import asyncio
import json
import sys
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from lab import place
from lucid.cli.api import Api, ApiError
from lucid.cli.bundle import fetch_bundle
from lucid.cli.desktop import Desktop
from lucid.cli.recording import Recording
from lucid.cli.trust import fetch_trust
from lucid.contracts import session_api
from lucid.contracts.session_access import BundleQuery
from lucid.contracts.session_api import CreateSession
from lucid.contracts.types import SessionPath
from lucid.evidence import trust
from lucid.evidence.bundle import BundleReader
from lucid.evidence.manifest import Manifest
from lucid.evidence.verify import verify
from tests.site.standing import Site

DISPLAY = 10
"""Of lab/desktop.yml."""
PAUSE_SECONDS = 0.25
LATE_SECONDS = 1.0


class End(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a recording."""

    state: str
    outcome: str
    """Of `lucid verify`, by the trust file."""
    manifest: Manifest
    leaves: tuple[str, ...]
    """Canonical JSON, as in the bundle."""


def say(**what: object) -> None:
    """Prints one line."""
    print(json.dumps(msgspec.to_builtins(what)), flush=True)  # noqa: T201 - to whom it runs for


async def record(site: Site, directory: Path) -> End:
    """The whole life of one recording."""
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, over.set)
    desktop = Desktop(DISPLAY, bytes.fromhex((site.lab.state / "cookie").read_text()))
    target = site.target()
    async with target.open() as api:
        how = CreateSession(name="faults", frame_rate=5, quality="low")
        recording = await Recording.begin(api, how, desktop, lambda _: None)
        session = recording.session.id
        say(session=session)
        await watch(api, session, over)
        await recording.stop()
        await recording.until_anchored(asyncio.Event())
    bundle = directory / f"{session}.lucid"
    await fetch_bundle(target, session_api.BUNDLE, BundleQuery(session), bundle)
    trusted = trust.parse(await fetch_trust(target))
    with bundle.open("rb") as file:
        report = verify(file, trusted)
    with bundle.open("rb") as file:
        leaves = tuple(leaf.decode() for leaf in BundleReader(file).parts.leaves)
    assert report.manifest is not None, report.failure
    return End(
        state=recording.session.state,
        outcome=report.outcome.name,
        manifest=report.manifest,
        leaves=leaves,
    )


async def watch(api: Api, session: str, over: asyncio.Event) -> None:
    """Asks for the session again and again, and tells whenever the answer was late."""
    while not over.is_set():
        begun = time.monotonic()
        with suppress(ApiError):
            await api.call(session_api.GET, SessionPath(session))
        if (took := time.monotonic() - begun) > LATE_SECONDS:
            say(silent=round(took, 1))
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), PAUSE_SECONDS)


if __name__ == "__main__":
    say(end=asyncio.run(record(Site(place.here()), Path(sys.argv[1]))))
