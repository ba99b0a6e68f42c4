"""Recordings on a deployment, and what must hold of each one after any fault."""

import asyncio
import io
import itertools
import os
import signal
import subprocess
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lucid.contracts import blockchain_engine as engine
from lucid.contracts import chunk_processor as processor
from lucid.contracts import session_pipeline as pipeline
from lucid.contracts import session_recorder as contract
from lucid.contracts.types import SessionPath
from lucid.evidence import leaf as leaves
from lucid.evidence import trust
from lucid.evidence.manifest import Gap, Manifest
from lucid.evidence.steps import Outcome
from lucid.evidence.verify import verify
from lucid.kit.client import ServiceClient
from lucid.kit.routes import NOTHING
from lucid.sessions import bundles
from lucid.sessions.policy import policy_document, policy_sha256
from tests.deployment import Deployment
from tests.faults.chunks import stored_leaves
from tests.sessions.screens import Screen
from tests.sessions.waiting import until

BEHIND = ("auth-service", "blockchain-engine", "session-anchoring")
AGREED = {"frame_rate": 10, "quality": "low", "max_bytes": 2**30, "retention_days": 30}
"""What session-api would have in its books."""
STORES = ("session-storage", "chunk-processor", "session-pipeline")
NOISE = "xterm -geometry 100x40 -e 'while :; do head -c 3000 /dev/urandom | base64; done'"


async def begin(api: ServiceClient, screen: Screen, **changes: object) -> str:
    """Starts to record the screen as session-api does; returns the session's id."""
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
        "policy_sha256": policy_sha256(AGREED),
        "max_bytes": 2**30,
    } | changes
    request = contract.StartRecording(**fields)  # type: ignore[arg-type]  # any field may be changed
    await api.call(contract.START, NOTHING, request, seconds=30)
    return session


@asynccontextmanager
async def noise(screen: Screen) -> AsyncIterator[None]:
    """Something on the screen that does not compress."""
    program = screen.start("bash", "-c", NOISE)
    try:
        yield
    finally:
        os.killpg(program.pid, signal.SIGKILL)
        await asyncio.to_thread(program.wait)


async def kill_encoder(screen: Screen) -> None:
    """kill -9 to the encoder of this screen: what it has not written is lost, and a new one is due.

    Only the grabber's arguments name the screen; the encoder is the other child of the same recorder.
    """
    listed = await asyncio.to_thread(
        subprocess.run, ["ps", "-ww", "-eo", "pid=,ppid=,args="], capture_output=True, check=True, text=True
    )
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
    recorders = {parent for _, parent, program in rows if f"lucid.sessions.grab {screen.number} " in program}
    for pid, parent, program in rows:
        if program.startswith("ffmpeg") and parent in recorders:
            os.kill(int(pid), signal.SIGKILL)


async def end_chunks_until_over(api: ServiceClient, session: str, screen: Screen) -> contract.Recording:
    """Kills the encoder, which ends a chunk, again and again until the recording has ended by itself."""
    while (found := await view(api, session)).end_reason is None:
        await kill_encoder(screen)
        await until(lambda before=found: _has_moved(api, session, before))  # type: ignore[misc]  # bound now
    return found


async def _has_moved(api: ServiceClient, session: str, before: contract.Recording) -> bool:
    found = await view(api, session)
    return found.chunks > before.chunks or found.end_reason is not None


async def view(api: ServiceClient, session: str) -> contract.Recording:
    """What the recorder says of it."""
    return await api.call(contract.GET, SessionPath(session))


async def stop(api: ServiceClient, session: str) -> None:
    """Ends it."""
    await api.call(contract.STOP, contract.StopRecording(session))


async def proved(house: Deployment, api: ServiceClient, session: str, seconds: float = 30) -> Manifest:
    """Waits for the end and checks it all: the bundle verifies, nothing is lost, doubled or left over."""

    async def done() -> bool:
        recording = await view(api, session)
        assert recording.state != "failed", recording.error
        return recording.state == "finished"

    await until(done, seconds)
    bundle = await bundles.export(api, session, policy_document(AGREED), with_chunks=True)
    file = io.BytesIO(b"".join([piece async for piece in bundle.chunks]))
    trusted = b"".join([piece async for piece in api.stream(engine.TRUST, NOTHING)])
    report = verify(file, trust.parse(trusted))
    assert report.outcome is Outcome.VERIFIED, report.failure
    assert report.manifest is not None
    spool = house.directory / "state/session-recorder/spool" / session
    acknowledged = (spool / "leaves.jsonl").read_bytes().splitlines()
    check_nothing_lost(report.manifest, await stored_leaves(api, session), acknowledged)
    assert not list(spool.glob("*.chunk"))
    return report.manifest


def check_nothing_lost(manifest: Manifest, stored: list[bytes], acknowledged: list[bytes]) -> None:
    """Each chunk that was acknowledged to the recorder is there once, in order, and holes are named."""
    assert stored == acknowledged
    assert manifest.count == manifest.attested_count == len(stored)
    assert len(set(stored)) == len(stored)
    check_times([leaves.decode(encoded) for encoded in stored], manifest)


def check_times(chunks: list[leaves.Leaf], manifest: Manifest) -> None:
    """Of each track: indexes follow on, times never run backwards, pauses of over two seconds are gaps."""
    for track in {leaf.track for leaf in chunks}:
        gaps = [gap for gap in manifest.gaps if gap.track == track]
        check_times_of_track([leaf for leaf in chunks if leaf.track == track], gaps)


def check_times_of_track(chunks: list[leaves.Leaf], gaps: list[Gap]) -> None:
    """The same of one track."""
    assert [leaf.index for leaf in chunks] == list(range(len(chunks)))
    for leaf in chunks:
        assert leaf.start_ms <= leaf.end_ms
    for before, after in itertools.pairwise(chunks):
        assert before.end_ms <= after.start_ms
        if after.start_ms - before.end_ms > 2000:
            named = [gap for gap in gaps if gap.start_ms <= before.end_ms + 2000]
            assert named, f"nothing from {before.end_ms} to {after.start_ms} ms and no gap says why"
            assert max(gap.end_ms for gap in named) >= after.start_ms - 2000
