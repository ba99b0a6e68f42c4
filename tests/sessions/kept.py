"""Sessions that were recorded, made without a screen: sealed, stored and anchored by the real services."""

import hashlib
import os
import subprocess
import time
from functools import cache

import msgspec
from pymongo import AsyncMongoClient

from lucid.contracts import chunk_processor as processor
from lucid.contracts import session_anchoring as anchoring
from lucid.contracts.types import ChunkPath, SessionPath
from lucid.evidence import merkle
from lucid.kit.mongo import CODEC_OPTIONS, Document
from lucid.kit.routes import NOTHING
from lucid.sessions.api_access import ACCESS
from lucid.sessions.chunking import Chunk, Chunker, ChunkLimits
from lucid.sessions.fmp4 import FragmentSplitter, InitSegment
from lucid.sessions.policy import policy_sha256
from tests.blocks.world import START_MS, Signer
from tests.deployment import Deployment
from tests.sessions.people import Person
from tests.sessions.waiting import until

SERVICES = ("session-storage", "chunk-processor", "session-pipeline", "session-recorder", "session-api")
CHUNK_MS = 2000


@cache
def video(seconds: int = 8) -> tuple[Chunk, ...]:
    """A moving picture in chunks of two seconds, after the first one of one."""
    source = f"testsrc=duration={seconds}:size=160x120:rate=10"
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", source, "-c:v", "libx264"]
    command += ["-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "10", "-f", "mp4", "-movflags"]
    command += ["+empty_moov+default_base_moof+frag_keyframe", "pipe:1"]
    made = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    chunker = Chunker("0", ChunkLimits(duration_ms=CHUNK_MS))
    chunks: list[Chunk] = []
    for item in FragmentSplitter().feed(made):
        new = chunker.begin_run(item, START_MS) if isinstance(item, InitSegment) else chunker.add(item)
        chunks += new
    return (*chunks, *chunker.finish())


async def keep(house: Deployment, owner: Person, *, closed: bool = True, trust: bytes | None = None) -> str:
    """A session of `owner` with the video; its manifest is in a final block, unless it never closed.

    `trust` is the envelope of its trust policy.
    """
    session = await owner.create(name="kept")
    if trust is not None:
        await agree(house, session, trust.decode())
    api, recorder = await house.client("session-api"), await house.client("session-recorder")
    await api.call(processor.CREATE_KEY, SessionPath(session))
    leaves = []
    for number, chunk in enumerate(video()):
        raw, nonce = b"".join(chunk.parts), os.urandom(32)
        claim = processor.Claim(
            sequence=number,
            start_ms=chunk.start_ms,
            end_ms=chunk.end_ms,
            raw_nonce=nonce.hex(),
            raw_commitment=hashlib.sha256(nonce + raw).hexdigest(),
        )
        headers = {processor.CLAIM_HEADER: msgspec.json.encode(claim).decode()}
        path = ChunkPath(session, 0, number)
        receipt = await recorder.call(processor.PROCESS, path, data=raw, headers=headers)
        leaves.append(receipt.leaf.encode())
    signer = Signer("recorder")
    root = merkle.root(map(merkle.leaf_hash, leaves)).hex()
    policy = (await owner.get(session)).policy_sha256
    last = signer.manifest(session, len(leaves), root=root, end_ms=video()[-1].end_ms, policy_sha256=policy)
    entries = [signer.registration(), signer.anchor(session, 0), *([last] if closed else [])]
    for entry in entries:
        await recorder.call(anchoring.SUBMIT, NOTHING, anchoring.Submit(entry.data.decode()))

    async def final() -> bool:
        return (await api.call(anchoring.STATUS, anchoring.AnchorPath(entries[-1].hash))).state == "final"

    async def can_be_handed_out() -> bool:
        """Whether session-api's own key is in the log, with which it notes who was given what."""
        return house.apps["session-api"][ACCESS].signer.registered

    await until(final)
    await until(can_be_handed_out)
    await rewrite(
        house,
        session,
        state="completed" if closed else "failed",
        started_ms=START_MS,
        ended_ms=time.time_ns() // 1_000_000,
        chunks=len(leaves),
    )
    return session


async def agree(house: Deployment, session: str, trust: str) -> str:
    """Has a session that has not begun go by a trust policy; returns the hash of all that is agreed on."""
    async with AsyncMongoClient[Document](house.stores["MONGODB_URL"]) as client:
        database = client.get_database("lucid_sessions", codec_options=CODEC_OPTIONS)
        record = await database["sessions"].find_one({"_id": session})
    assert record is not None
    agreed = policy_sha256(record | {"trust": trust})
    await rewrite(house, session, trust=trust, policy_sha256=agreed)
    return agreed


async def rewrite(house: Deployment, session: str, **fields: object) -> None:
    """Changes the books behind session-api's back, to have a past that a test cannot wait for."""
    async with AsyncMongoClient[Document](house.stores["MONGODB_URL"]) as client:
        await client["lucid_sessions"]["sessions"].update_one({"_id": session}, {"$set": fields})


async def key_record(house: Deployment, session: str) -> Document:
    """What the database holds of the session's key."""
    async with AsyncMongoClient[Document](house.stores["MONGODB_URL"]) as client:
        found = await client["lucid_sessions"]["session_keys"].find_one({"_id": session})
    assert found is not None
    return found
