"""Sessions whose chunks are all in a recorder's spool already, as an earlier life of it left them."""

import os
import uuid
from pathlib import Path

import msgspec

from lucid.contracts import chunk_processor as processor
from lucid.contracts import session_pipeline as pipeline
from lucid.contracts.session_recorder import StartRecording
from lucid.contracts.types import SessionPath
from lucid.kit.client import ServiceClient
from lucid.sessions.policy import policy_sha256
from lucid.sessions.recording_state import State
from lucid.sessions.spool import Spool
from tests.faults.recordings import AGREED

QUOTA = 2**40


async def leave_behind(root: Path, api: ServiceClient, *, sessions: int, chunks: int, size: int) -> list[str]:
    """Fills the spool at `root` with ended sessions that nobody has sent yet; returns their ids."""
    names = [str(uuid.uuid4()) for _ in range(sessions)]
    with Spool(root, QUOTA) as spool:
        for name in names:
            await api.call(processor.CREATE_KEY, SessionPath(name))
            await api.call(pipeline.SET_STATE, SessionPath(name), pipeline.SetState("active"))
            session = spool.create(name)
            for number in range(chunks):
                session.append_chunk("0", [os.urandom(size)], number * 1000, number * 1000 + 1000)
            session.save_state(msgspec.json.encode(_ended(name, chunks)))
            session.close()
    return names


def _ended(session: str, chunks: int) -> State:
    request = StartRecording(
        session=session,
        owner=str(uuid.uuid4()),
        display=":0",
        cookie="0" * 32,
        frame_rate=30,
        quality="high",
        policy_sha256=policy_sha256(AGREED),
        max_bytes=100 * 1024**3,
    )
    end_ms = chunks * 1000
    return State(request=request, phase="finishing", started_ms=0, ended_ms=end_ms, end_reason="stopped")
