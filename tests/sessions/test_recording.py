"""A recording against a real X server: once it is over, no chunk is added to it."""

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from lucid.contracts.session_recorder import StartRecording
from lucid.sessions.recording import Recording, now_ms
from lucid.sessions.recording_state import UNDER_WAY, State
from lucid.sessions.spool import Spool
from tests.sessions.screens import Screen


@pytest.fixture
def recording(screen: Screen, tmp_path: Path) -> Iterator[Recording]:
    """A recording of a screen, not captured yet."""
    request = StartRecording(
        session=str(uuid.uuid4()),
        owner=str(uuid.uuid4()),
        display=f":{screen.number}",
        cookie=screen.cookie.hex(),
        frame_rate=10,
        quality="low",
        policy_sha256="0" * 64,
        max_bytes=2**30,
    )
    state = State(request=request, phase="recording", started_ms=now_ms())
    (tmp_path / "work").mkdir()
    with Spool(tmp_path / "spool", 2**30) as spools:
        spool = spools.create(request.session)
        yield Recording(state, spool)
        spool.close()


async def chunks_when_over(recording: Recording, capturing: asyncio.Task[None]) -> int:
    """How many chunks there were when the recording first said that it is over."""
    over = None
    while not capturing.done():
        if over is None and recording.state.phase not in UNDER_WAY:
            over = recording.spool.next_seq
        await asyncio.sleep(0.005)
    await capturing
    return recording.spool.next_seq if over is None else over


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.05, 0.2, 1.5])
async def test_stopped_while_the_capture_starts_or_runs_it_ends_with_its_last_chunk(
    recording: Recording, seconds: float
) -> None:
    capturing = asyncio.create_task(recording.capture())
    await asyncio.sleep(seconds)
    await recording.stop()
    over = await chunks_when_over(recording, capturing)
    assert (recording.state.phase, recording.state.end_reason) == ("finishing", "stopped")
    assert recording.spool.next_seq == over


async def test_stopped_in_the_last_moments_of_a_capture_that_is_being_paused(recording: Recording) -> None:
    capturing = asyncio.create_task(recording.capture())
    await recording.begun.wait()
    await recording.pause()
    await recording.stop()
    over = await chunks_when_over(recording, capturing)
    assert (recording.state.phase, recording.state.end_reason) == ("finishing", "stopped")
    assert recording.spool.next_seq == over


async def test_a_recording_that_was_stopped_is_not_resumed(recording: Recording) -> None:
    await recording.pause()
    await recording.stop()
    before = msgspec.json.encode(recording.state)
    await recording.resume()
    assert msgspec.json.encode(recording.state) == before
