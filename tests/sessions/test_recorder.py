"""session-recorder with a real X server, the real encoder and the real chain behind it."""

import asyncio
import io
import os
import signal
import subprocess
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lucid.contracts import chunk_processor as processor
from lucid.contracts import session_anchoring as anchoring
from lucid.contracts import session_pipeline as pipeline
from lucid.contracts import session_recorder as contract
from lucid.contracts import session_storage as storage
from lucid.contracts.types import SessionPath
from lucid.evidence import dsse, statements
from lucid.evidence import leaf as leaves
from lucid.evidence.manifest import Manifest
from lucid.kit.client import ServiceClient
from lucid.kit.errors import LucidError
from lucid.kit.routes import NOTHING
from lucid.sessions.recorder import RECORDER
from tests.deployment import Deployment, deployment
from tests.sessions.capture_units import accepting
from tests.sessions.screens import Screen
from tests.sessions.waiting import until

pytestmark = pytest.mark.quiet

CHAIN = ("blockchain-engine", "session-anchoring")
STORES = ("session-storage", "chunk-processor", "session-pipeline")
NOISE = "xterm -geometry 100x40 -e 'while :; do head -c 3000 /dev/urandom | base64; done'"
FAST = {"BLOCK_TIME_SECONDS": "0.3", "ANCHOR_INTERVAL_SECONDS": "1", "ANCHOR_POLL_SECONDS": "0.1"}


@pytest.fixture
async def house(tmp_path: Path, mongodb_url: str, redis_url: str) -> AsyncIterator[Deployment]:
    """All that stands behind a recorder, with a quick chain."""
    async with deployment(tmp_path, mongodb_url, redis_url, **FAST) as made:
        await made.start("auth-service", *CHAIN, *STORES, "session-recorder")
        yield made


@pytest.fixture
async def api(house: Deployment) -> ServiceClient:
    client = await house.client("session-api")
    await until(lambda: house.ready("session-recorder"))
    return client


async def begin(api: ServiceClient, screen: Screen, **changes: object) -> str:
    session = str(uuid.uuid4())
    await api.call(processor.CREATE_KEY, SessionPath(session))
    await api.call(pipeline.SET_STATE, SessionPath(session), pipeline.SetState("active"))
    fields = {
        "session": session,
        "owner": str(uuid.uuid4()),
        "display": f":{screen.number}",
        "cookie": screen.cookie.hex(),
        "frame_rate": 10,
        "quality": "low",
        "policy_sha256": "0" * 64,
        "max_bytes": 2**30,
    } | changes
    request = contract.StartRecording(**fields)  # type: ignore[arg-type]  # any field may be changed
    await api.call(contract.START, NOTHING, request, seconds=30)
    return session


async def finished(api: ServiceClient, session: str) -> Manifest:
    """The manifest, once the recording is done and its spool empty."""

    async def done() -> bool:
        recording = await api.call(contract.GET, SessionPath(session))
        assert recording.state != "failed", recording.error
        return recording.state == "finished" and recording.spooled_bytes == 0

    await until(done)
    anchors = (await api.call(anchoring.OF_SESSION, SessionPath(session))).anchors
    assert [a.kind for a in anchors[:2]] == ["registration", "anchor"]
    assert {a.state for a in anchors} == {"final"}
    return statements.read(dsse.parse(anchors[-1].envelope.encode()), Manifest)


async def stored_leaves(api: ServiceClient, session: str) -> list[leaves.Leaf]:
    text = b"".join([piece async for piece in api.stream(storage.LEAVES, SessionPath(session))])
    return [leaves.decode(line) for line in text.splitlines()]


async def test_a_recorder_that_has_units_captures_in_them_or_not_at_all(
    house: Deployment, screen: Screen, tmp_path: Path
) -> None:
    house.settings["CAPTURE_SOCKET"] = str(tmp_path / "capture")
    await house.stop("session-recorder")
    await house.start("session-recorder")
    api = await house.client("session-api")
    await until(lambda: house.ready("session-recorder"))
    with accepting(tmp_path / "capture") as hosts:
        session = await begin(api, screen)
        assert len(hosts) == 1
        assert encoders() == []
        await api.call(contract.STOP, contract.StopRecording(session))
        assert (await finished(api, session)).gaps == ()
    with pytest.raises(LucidError, match=r"cannot be recorded: .*capture_socket=.* does not answer"):
        await begin(api, screen)


async def test_a_recording_is_anchored_from_its_first_frame_to_its_last(
    api: ServiceClient, screen: Screen
) -> None:
    session = await begin(api, screen)
    await asyncio.sleep(3)
    await api.call(contract.STOP, contract.StopRecording(session))
    manifest = await finished(api, session)
    assert (manifest.end_reason, manifest.gaps) == ("stopped", ())
    kept = await stored_leaves(api, session)
    assert manifest.count == len(kept) >= 2
    assert [leaf.index for leaf in kept] == list(range(len(kept)))
    assert manifest.end_ms - manifest.start_ms >= 2500
    raw = io.BytesIO()
    for leaf in kept:
        path = processor.OPEN.params(session, leaf.track, leaf.index)
        raw.write(b"".join([piece async for piece in api.stream(processor.OPEN, path)]))
    probe = await asyncio.to_thread(count_frames, raw.getvalue())
    width, height, frames = probe.split(",")
    assert (width, height) == ("640", "480")
    assert int(frames) >= 4  # nothing moved: one a second


async def test_a_pause_is_a_gap_with_its_cause_and_length(api: ServiceClient, screen: Screen) -> None:
    session = await begin(api, screen)
    await api.call(contract.PAUSE, SessionPath(session))
    await asyncio.sleep(1.5)
    assert (await api.call(contract.GET, SessionPath(session))).state == "paused"
    await api.call(contract.RESUME, SessionPath(session))
    await asyncio.sleep(2)
    await api.call(contract.STOP, contract.StopRecording(session))
    (gap,) = (await finished(api, session)).gaps
    assert gap.cause == "paused"
    assert 1000 <= gap.end_ms - gap.start_ms <= 6000


async def test_an_encoder_that_is_killed_leaves_a_named_gap(
    house: Deployment, api: ServiceClient, screen: Screen
) -> None:
    session = await begin(api, screen)
    await asyncio.sleep(1)
    (encoder,) = encoders()
    os.kill(encoder, signal.SIGKILL)
    await asyncio.sleep(2)
    await api.call(contract.STOP, contract.StopRecording(session))
    manifest = await finished(api, session)
    assert [gap.cause for gap in manifest.gaps] == ["capture_restarted"]


async def test_a_desktop_that_ends_ends_the_recording(api: ServiceClient, screen: Screen) -> None:
    session = await begin(api, screen)
    await asyncio.sleep(1)
    screen.server.terminate()
    assert (await finished(api, session)).end_reason == "display_lost"


async def test_a_recorder_that_restarts_goes_on_and_names_the_gap(
    house: Deployment, api: ServiceClient, screen: Screen
) -> None:
    session = await begin(api, screen)
    await asyncio.sleep(1)
    await house.stop("session-recorder")
    await house.start("session-recorder")
    await asyncio.sleep(2)
    await until(lambda: _is(api, session, "recording"))
    await api.call(contract.STOP, contract.StopRecording(session))
    manifest = await finished(api, session)
    assert "recorder_restarted" in [gap.cause for gap in manifest.gaps]
    assert manifest.count == len(await stored_leaves(api, session))


async def test_a_stop_that_was_acknowledged_holds_in_the_recorder_s_next_life(
    house: Deployment, api: ServiceClient, screen: Screen
) -> None:
    sessions = [await begin(api, screen) for _ in range(2)]
    await api.call(contract.PAUSE, SessionPath(sessions[1]))
    recordings = [house.apps["session-recorder"][RECORDER].find(session) for session in sessions]
    for session in sessions:
        await api.call(contract.STOP, contract.StopRecording(session, "violation"))
        await api.call(contract.STOP, contract.StopRecording(session, "stopped"))  # too late to change it
    told = [recording.state.stop_ms for recording in recordings]
    await house.stop("session-recorder")
    await house.start("session-recorder")
    for session, moment in zip(sessions, told, strict=True):
        manifest = await finished(api, session)
        assert manifest.end_reason == "violation"
        assert moment is not None
        assert manifest.end_ms < moment + 1000


async def test_a_recording_is_signed_to_its_end_by_the_key_that_opened_it(
    house: Deployment, api: ServiceClient, screen: Screen
) -> None:
    session = await begin(api, screen)

    async def opened() -> bool:
        return bool((await api.call(anchoring.OF_SESSION, SessionPath(session))).anchors)

    await until(opened)
    credentials = house.directory / "credentials/session-recorder"
    await house.stop("session-recorder")
    (credentials / "recorder_key").rename(credentials / "recorder_key_previous")
    await house.start("session-recorder")
    await until(lambda: house.ready("session-recorder"))
    later = await begin(api, screen)
    manifests = []
    for each in (session, later):
        await api.call(contract.STOP, contract.StopRecording(each))
        manifests.append(await finished(api, each))
    assert manifests[0].recorder != manifests[1].recorder


async def test_chunks_wait_in_the_spool_while_storage_is_away(
    house: Deployment, api: ServiceClient, screen: Screen
) -> None:
    await house.stop("session-storage")
    session = await begin(api, screen)
    await asyncio.sleep(1)
    await api.call(contract.STOP, contract.StopRecording(session))
    recording = await api.call(contract.GET, SessionPath(session))
    assert recording.stored == 0
    assert recording.spooled_bytes > 0
    await house.start("session-storage")
    assert (await finished(api, session)).count == len(await stored_leaves(api, session))


async def test_a_session_ends_honestly_at_its_size_limit(api: ServiceClient, screen: Screen) -> None:
    noise = screen.start("bash", "-c", NOISE)
    try:
        session = await begin(api, screen, max_bytes=1024 * 1024, frame_rate=60, quality="ultra")
        manifest = await finished(api, session)
    finally:
        os.killpg(noise.pid, signal.SIGKILL)
        await asyncio.to_thread(noise.wait)
    assert manifest.end_reason == "quota"
    assert sum(leaf.plain_size for leaf in await stored_leaves(api, session)) <= 1024 * 1024


async def test_a_display_that_does_not_exist_is_refused_and_leaves_nothing(
    house: Deployment, api: ServiceClient, screen: Screen
) -> None:
    with pytest.raises(LucidError, match="cannot be recorded") as refused:
        await begin(api, screen, display=":4242")
    assert refused.value.code.number == 1001
    assert [p.name for p in (house.directory / "state/session-recorder/spool").iterdir()] == ["lock"]


async def test_a_wrong_cookie_is_refused(api: ServiceClient, screen: Screen) -> None:
    with pytest.raises(LucidError, match="cannot be recorded"):
        await begin(api, screen, cookie="0" * 32)


def count_frames(media: bytes) -> str:
    """Width, height and number of frames that really decode."""
    command = ["ffprobe", "-v", "error", "-count_frames", "-of", "csv=p=0"]
    entries = ["-show_entries", "stream=nb_read_frames,width,height", "-"]
    done = subprocess.run([*command, *entries], input=media, capture_output=True, check=True, timeout=30)
    return done.stdout.decode().strip()


async def _is(api: ServiceClient, session: str, state: str) -> bool:
    return (await api.call(contract.GET, SessionPath(session))).state == state


def encoders() -> list[int]:
    """Process ids of the encoders among our children: the recorder runs in this process."""
    command = ["ps", "--ppid", str(os.getpid()), "-o", "pid=,comm="]
    listed = subprocess.run(command, capture_output=True, check=True, text=True)
    rows = [line.split(None, 1) for line in listed.stdout.splitlines()]
    return [int(pid) for pid, name in rows if name.strip() == "ffmpeg"]
