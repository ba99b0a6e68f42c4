"""Recordings begin, pause and end as their owners say; those of desktops, only as the rdp cluster says."""

import msgspec

from lucid.contracts import chunk_processor as processor
from lucid.contracts import session_api as contract
from lucid.contracts import session_pipeline as pipeline
from lucid.contracts import session_recorder as recorder
from lucid.contracts.types import SessionPath
from lucid.evidence.errors import EvidenceError
from lucid.kit.app import Call, Handlers
from lucid.kit.client import CLIENT
from lucid.kit.errors import Code, Conflict, Invalid, LucidError, Unavailable
from lucid.kit.mongo import Document
from lucid.kit.routes import NOTHING, Nothing
from lucid.sessions import metrics
from lucid.sessions.api_record import is_managed
from lucid.sessions.api_session import STORE, owned
from lucid.sessions.api_store import check, view
from lucid.sessions.policy import recorded_events

START_SECONDS = 30.0

handlers = Handlers()


@handlers.on(contract.START)
async def start(call: Call, params: SessionPath, body: contract.StartSession) -> contract.Session:
    """Key first, then credits, then the camera: nothing is captured that could not be kept."""
    await _own(call, params.session)
    record = await call.app[STORE].move(params.session, "starting")
    try:
        recording = await begin(call, record, body.display, body.cookie)
    except LucidError as error:
        await give_up(call, record, error)
        raise
    return view(await recorded(call, record, recording))


@handlers.on(contract.STOP)
async def stop(call: Call, params: SessionPath, _: Nothing) -> contract.Session:
    """Ends the recording; what is on disk is still sent and anchored."""
    record = await _own(call, params.session)
    check(record["state"], "stopped")
    await call.app[CLIENT].call(
        recorder.STOP, recorder.StopRecording(params.session), host=record.get("host")
    )
    return view(await call.app[STORE].bring(params.session, "stopped"))


@handlers.on(contract.PAUSE)
async def pause(call: Call, params: SessionPath, _: Nothing) -> contract.Session:
    """Stops capturing for a while."""
    record = await _own(call, params.session)
    check(record["state"], "paused")
    await call.app[CLIENT].call(recorder.PAUSE, params, host=record.get("host"))
    await call.app[CLIENT].call(pipeline.SET_STATE, params, pipeline.SetState("paused"))
    return view(await call.app[STORE].move(params.session, "paused"))


@handlers.on(contract.RESUME)
async def resume(call: Call, params: SessionPath, _: Nothing) -> contract.Session:
    """Captures again."""
    record = await _own(call, params.session)
    if record["state"] != "paused":
        raise Conflict(f"the session is {record['state']}, not paused", code=Code.SESSION_STATE)
    await call.app[CLIENT].call(pipeline.SET_STATE, params, pipeline.SetState("active"))
    await call.app[CLIENT].call(recorder.RESUME, params, host=record.get("host"))
    return view(await call.app[STORE].move(params.session, "recording"))


async def begin(call: Call, record: Document, display: str, cookie: str) -> recorder.Recording:
    """Has the recorder of the session's host begin; returns when the first fragment is durable.

    Raises Invalid: the session's trust policy is not as its owner signed it.
    """
    events = _events(record)
    identity, client = SessionPath(record["_id"]), call.app[CLIENT]
    await client.call(processor.CREATE_KEY, identity)
    await client.call(pipeline.SET_STATE, identity, pipeline.SetState("active"))
    request = recorder.StartRecording(
        session=record["_id"],
        owner=record["owner"],
        display=display,
        cookie=cookie,
        frame_rate=record["frame_rate"],
        quality=record["quality"],
        policy_sha256=record["policy_sha256"],
        max_bytes=record["max_bytes"],
        events=events,
    )
    return await client.call(recorder.START, NOTHING, request, seconds=START_SECONDS, host=record.get("host"))


def _events(record: Document) -> tuple[recorder.Events, ...]:
    try:
        return msgspec.convert(recorded_events(record), tuple[recorder.Events, ...])
    except EvidenceError as error:
        raise Invalid(f"trust: {error}", field="trust") from None


async def give_up(call: Call, record: Document, error: LucidError) -> None:
    """Notes that the session could not be started, and why."""
    # Where a service was out of reach, the recorder may have begun: the follower finds out.
    if not isinstance(error, Unavailable):
        metrics.sessions_created_total.labels("failed").inc()
        await call.app[STORE].move(record["_id"], "failed", error=error.message)


async def recorded(call: Call, record: Document, recording: recorder.Recording) -> Document:
    """The session, now that it is being recorded."""
    started = {"started_ms": recording.started_ms, "chunks": recording.chunks}
    return await call.app[STORE].bring(record["_id"], "recording", **started)


async def _own(call: Call, session: str) -> Document:
    """The session, for whoever may say how its recording goes. Raises NotFound, Conflict 4007."""
    record = await owned(call, session)
    if is_managed(record):
        raise Conflict(
            "this is the recording of a remote desktop, which is recorded for as long as it lives; to end the"
            " recording, end the RDP session",
            code=Code.SESSION_STATE,
            state=record["state"],
            managed=True,
        )
    return record
