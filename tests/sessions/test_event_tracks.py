"""Recordings with an events track, from the policy that asks for it to the bundle that proves it."""

import asyncio
import contextlib
import io
import json
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lucid.cli.replay import play_bundle
from lucid.contracts import session_api as contract
from lucid.contracts.session_access import DisclosureQuery
from lucid.contracts.types import SessionPath
from lucid.evidence import policy as policies
from lucid.evidence.manifest import Manifest
from lucid.evidence.policy import Recorded
from lucid.evidence.steps import Outcome, Report
from lucid.kit.errors import LucidError, NotFound
from lucid.sessions.recording_errors import DisplayError
from lucid.sessions.recording_state import CODECS, EVENTS, PICTURE
from lucid.sessions.x11_connection import X11Connection
from tests.cli.command import invoke
from tests.deployment import Deployment, deployment
from tests.sessions.people import Person, person
from tests.sessions.screens import Screen, StartScreen
from tests.sessions.test_life import fetch
from tests.sessions.test_managed import CHAIN, CONTROLLER, MANAGER, OWNER, POLICY, SETTINGS, Cluster, account
from tests.sessions.test_managed import proved as verified
from tests.sessions.waiting import until
from verifier import lucid_verify

ALL = Recorded(input=True, clipboard=True)


@pytest.fixture
async def house(tmp_path: Path, mongodb_url: str, redis_url: str) -> AsyncIterator[Deployment]:
    async with deployment(tmp_path, mongodb_url, redis_url, **SETTINGS) as made:
        made.add_host("session-recorder", "rdp2")
        await made.start(*CHAIN)
        yield made


@pytest.fixture
async def alice(house: Deployment) -> Person:
    return await person(house, "alice")


@pytest.fixture
async def cluster(house: Deployment) -> Cluster:
    made = Cluster(house, await house.client(MANAGER), await house.client(CONTROLLER))
    await made.recorders()
    return made


async def begun(cluster: Cluster, alice: Person, screen: Screen, record: Recorded = ALL) -> str:
    """A session that is being recorded under a policy that has this recorded."""
    trust = policies.sign(msgspec.structs.replace(POLICY, record=record), OWNER).decode()
    made = await cluster.create(await account(alice), trust=trust)
    await cluster.start(made.id, screen)
    return made.id


async def ended(cluster: Cluster, alice: Person, session: str, reason: str = "stopped") -> Report:
    """Ends it; the report of its bundle, which verifies."""
    if reason == "stopped":
        await cluster.stop(session)
    found = await cluster.ended(session)
    assert (found.state, found.end_reason) == ("completed", reason), found.error
    report = await verified(alice, session)
    assert report.outcome is Outcome.VERIFIED, report.failure
    return report


def gaps(report: Report, track: int) -> list[str]:
    assert report.manifest is not None
    return [gap.cause for gap in report.manifest.gaps if gap.track == track]


async def lines(alice: Person, session: str) -> list[dict[str, Any]]:
    """The events track, as its owner is given it."""
    data = await fetch(alice, contract.EVENTS, SessionPath(session))
    return [json.loads(line) for line in data.splitlines()]


def typed(found: list[dict[str, Any]]) -> str:
    return "".join(line.get("text", "") for line in found if line["what"] == "key")


async def work(screen: Screen, text: str) -> None:
    """Types a text, and copies it."""
    await asyncio.to_thread(screen.run, "xdotool", "type", "--delay", "10", text)
    copy = ["xclip", "-selection", "clipboard", "-in"]
    await asyncio.to_thread(
        subprocess.run, copy, input=text.encode(), env=screen.environment(), stdout=subprocess.DEVNULL,
        check=True, timeout=10,
    )  # fmt: skip


def listeners(screen: Screen) -> list[int]:
    """Process ids of the listeners of this screen."""
    listed = subprocess.run(
        ["ps", "-ww", "-eo", "pid=,args="], capture_output=True, check=True, text=True
    ).stdout
    rows = [line.split(None, 1) for line in listed.splitlines()]
    return [int(pid) for pid, program in rows if f"lucid.sessions.listen {screen.number} " in program]


async def test_what_was_typed_and_copied_is_in_the_bundle_sealed_and_verified(
    cluster: Cluster, alice: Person, screen: Screen, tmp_path: Path
) -> None:
    session = await begun(cluster, alice, screen)
    await work(screen, "Known text, 42!")
    await asyncio.sleep(2)
    report = await ended(cluster, alice, session)
    manifest = report.manifest
    assert manifest is not None
    assert [(track.track, track.codec) for track in manifest.tracks] == list(CODECS.items())
    assert manifest.gaps == ()
    picture, events = report.tracks
    assert (events.track, events.codec, events.chunks) == (EVENTS, CODECS[EVENTS], manifest.tracks[1].count)
    assert events.start_ms is not None
    assert events.end_ms is not None
    assert events.covered_ms == events.end_ms - events.start_ms
    assert abs(events.covered_ms - picture.covered_ms) < 2000
    found = await lines(alice, session)
    assert found[0] == {"what": "listening", "at": events.start_ms, "to": ["clipboard", "input"]}
    assert typed(found) == "Known text, 42!"
    assert [line["text"] for line in found if line["what"] == "clipboard"] == ["Known text, 42!"]
    assert [line["at"] for line in found] == sorted(line["at"] for line in found)
    assert manifest.start_ms <= found[0]["at"] <= found[-1]["at"] <= manifest.end_ms
    # A stretch that is disclosed has its events; the replay has the picture alone.
    stretch = DisclosureQuery(session, manifest.start_ms, manifest.end_ms)
    bundle = tmp_path / "session.lucid"
    bundle.write_bytes(await fetch(alice, contract.DISCLOSURE, stretch))
    picture_file, events_file = await asyncio.to_thread(play_bundle, bundle, tmp_path / "played.mp4")
    assert (picture_file.name, events_file.name) == ("played.mp4", "played.events.jsonl")
    assert [json.loads(line) for line in events_file.read_text().splitlines()] == found
    said = await asyncio.to_thread(invoke, "verify", str(bundle))
    assert f"track 1: {CODECS[EVENTS]}, {events.chunks} chunks" in said.stdout
    assert "recorded beside the picture: keys, clicks and movements" in " ".join(said.stdout.split())
    outcome, findings = lucid_verify.verify(io.BytesIO(bundle.read_bytes()), None, None, None)
    assert (outcome, findings[-1].status) == ("consistent_not_authenticated", "skipped")
    assert b"listening" not in await fetch(alice, contract.REPLAY, SessionPath(session))


@pytest.mark.parametrize(
    ("record", "kinds"),
    [
        (Recorded(input=True), {"listening", "pointer", "key"}),
        (Recorded(clipboard=True), {"listening", "clipboard"}),
    ],
)
async def test_nothing_is_in_it_that_the_policy_does_not_name(
    cluster: Cluster, alice: Person, screen: Screen, record: Recorded, kinds: set[str]
) -> None:
    session = await begun(cluster, alice, screen, record)
    await work(screen, "some text")
    await asyncio.sleep(1)
    await ended(cluster, alice, session)
    assert {line["what"] for line in await lines(alice, session)} - {"quiet"} == kinds


async def test_without_a_word_in_the_policy_there_is_no_such_track(
    cluster: Cluster, alice: Person, screen: Screen
) -> None:
    session = await begun(cluster, alice, screen, Recorded())
    assert listeners(screen) == []
    await work(screen, "unheard")
    report = await ended(cluster, alice, session)
    assert [track.track for track in report.tracks] == [PICTURE]
    with pytest.raises(NotFound, match="no events track"):
        await lines(alice, session)


async def test_a_listener_that_is_killed_is_begun_again_and_the_gap_is_named(
    cluster: Cluster, alice: Person, screen: Screen
) -> None:
    session = await begun(cluster, alice, screen)
    await work(screen, "before")
    await asyncio.sleep(1.5)
    (victim,) = listeners(screen)
    os.kill(victim, signal.SIGKILL)

    async def another() -> bool:
        return bool(listeners(screen)) and victim not in listeners(screen)

    await until(another)
    await asyncio.sleep(1)
    await work(screen, "after")
    await asyncio.sleep(1)
    report = await ended(cluster, alice, session)
    assert (gaps(report, EVENTS), gaps(report, PICTURE)) == (["capture_restarted"], [])
    assert typed(await lines(alice, session)) == "beforeafter"


async def test_a_listener_that_cannot_be_begun_again_ends_the_recording(
    cluster: Cluster, alice: Person, start_screen: StartScreen
) -> None:
    crowded = start_screen("640x480", 24, "-maxclients", "64")
    session = await begun(cluster, alice, crowded)
    await asyncio.sleep(2.5)
    with contextlib.ExitStack() as crowd:

        def no_seat_left() -> None:
            """Takes the place of each listener that is killed, so that the next is refused."""
            with contextlib.suppress(DisplayError):
                while True:
                    crowd.enter_context(X11Connection(crowded.number, crowded.cookie))

        until_s = time.monotonic() + 40
        while (await cluster.get(session)).state == "recording":
            assert time.monotonic() < until_s
            for listener in await asyncio.to_thread(listeners, crowded):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(listener, signal.SIGKILL)
            for _ in range(20):
                no_seat_left()
                await asyncio.sleep(0.01)
        report = await ended(cluster, alice, session, "failed")
    assert gaps(report, PICTURE) == []
    assert gaps(report, EVENTS)[-1] == "capture_restarted"
    assert report.manifest is not None
    assert report.tracks[1].end_ms is not None
    last = max(gap.end_ms for gap in report.manifest.gaps)
    assert last - report.tracks[1].end_ms > 2000
    assert report.manifest.end_ms == last


async def test_a_screen_that_cannot_be_listened_to_is_not_recorded(
    cluster: Cluster, alice: Person, start_screen: StartScreen
) -> None:
    deaf = start_screen("640x480", 24, "-extension", "XFIXES")
    with pytest.raises(LucidError, match="cannot be recorded"):
        await begun(cluster, alice, deaf)


async def test_a_desktop_that_ends_leaves_no_gap(cluster: Cluster, alice: Person, screen: Screen) -> None:
    session = await begun(cluster, alice, screen)
    await work(screen, "bye")
    await asyncio.sleep(1)
    screen.server.terminate()
    report = await ended(cluster, alice, session, "display_lost")
    assert (gaps(report, PICTURE), gaps(report, EVENTS)) == ([], [])
    assert typed(await lines(alice, session)) == "bye"


async def test_a_recorder_that_is_lost_leaves_both_tracks_as_far_as_they_came(
    house: Deployment, cluster: Cluster, alice: Person, screen: Screen
) -> None:
    session = await begun(cluster, alice, screen)
    await asyncio.sleep(2.5)
    await house.stop("session-recorder@rdp2")
    report = await ended(cluster, alice, session, "recorder_lost")
    manifest: Manifest | None = report.manifest
    assert manifest is not None
    assert [track.track for track in manifest.tracks] == [PICTURE, EVENTS]
    assert sum(track.count for track in manifest.tracks) == manifest.count
    assert set(gaps(report, EVENTS)) <= {"unexplained"}
