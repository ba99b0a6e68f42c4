"""Sessions that the rdp cluster keeps for people: it alone begins and ends the recording of a desktop.

What may be said again, after a crash or an answer that was lost, has the same effect and the same answer.
"""

import asyncio
import contextlib
import hashlib
from weakref import WeakValueDictionary

import msgspec
from aiohttp import web

from lucid.contracts import session_api as contract
from lucid.contracts import session_recorder as recorder
from lucid.contracts.managed_sessions import CreateManaged, StartManaged
from lucid.contracts.types import SessionPath
from lucid.evidence import dsse
from lucid.evidence.errors import EvidenceError
from lucid.kit.app import Call, Handlers
from lucid.kit.client import CLIENT
from lucid.kit.errors import Code, Conflict, Invalid, LucidError, NotFound, Unavailable
from lucid.kit.mongo import Document
from lucid.kit.routes import Nothing
from lucid.sessions import api_record, metrics
from lucid.sessions.api_recording import START_SECONDS, begin, give_up, recorded
from lucid.sessions.api_session import STORE
from lucid.sessions.api_store import check, view

POLL_SECONDS = 0.2
UNDER_WAY = ("starting", "recording", "paused")

STARTS = web.AppKey("starts", WeakValueDictionary[str, asyncio.Lock])
"""Held by whoever starts a session, by its id."""

handlers = Handlers()


@handlers.on(contract.CREATE_MANAGED)
async def create(call: Call, _: Nothing, body: CreateManaged) -> contract.Session:
    """Writes the session down, once."""
    known = call.app[CLIENT].hosts(recorder.SERVICE)
    if body.host not in known:
        names = ", ".join(known) or "none"
        raise Invalid(f"no recorder runs on {body.host}; the hosts are {names}", field="host")
    try:
        dsse.parse(body.trust.encode())
    except EvidenceError as error:
        raise Invalid(f"trust is no DSSE envelope: {error}", field="trust") from None
    asked = hashlib.sha256(msgspec.json.encode(body)).hexdigest()
    record = api_record.new(
        body.session,
        body.owner,
        body.name,
        msgspec.structs.asdict(body),
        host=body.host,
        trust=body.trust,
        asked_sha256=asked,
    )
    kept = await call.app[STORE].insert_once(record)
    if kept.get("asked_sha256") != asked:
        raise Conflict(f"session {body.session} exists, and is another one; choose another id")
    if kept is record:
        metrics.sessions_created_total.labels("created").inc()
    return view(kept)


@handlers.on(contract.GET_MANAGED)
async def get(call: Call, params: SessionPath, _: Nothing) -> contract.Session:
    """One of these sessions."""
    return view(await _managed(call, params.session))


@handlers.on(contract.START_MANAGED)
async def start(call: Call, params: SessionPath, body: StartManaged) -> contract.Session:
    """Begins the recording, or finds it begun; in either case the first fragment is durable."""
    # Side by side, one of them could fail by what the other does, and take the session with it.
    async with call.app[STARTS].setdefault(params.session, asyncio.Lock()):
        return view(await _start(call, params, body))


async def _start(call: Call, path: SessionPath, body: StartManaged) -> Document:
    record = await _starting(call, path.session, body.host)
    if record["state"] == "recording":
        return await recorded(call, record, await _begun(call, record))
    try:
        recording = await begin(call, record, body.display, body.cookie)
    except Conflict as error:
        # An earlier life of this service has come that far, or another process of it is at it right now.
        if error.code is not Code.EXISTS:
            raise
        recording = await _begun(call, record)
    except LucidError as error:
        await give_up(call, record, error)
        raise
    try:
        return await recorded(call, record, recording)
    except Conflict:
        # It was ended meanwhile: nothing may go on recording that nobody looks after.
        stop = recorder.StopRecording(path.session)
        await call.app[CLIENT].call(recorder.STOP, stop, host=record["host"])
        raise


@handlers.on(contract.STOP_MANAGED)
async def stop(call: Call, params: recorder.StopRecording, _: Nothing) -> contract.Session:
    """Ends the recording. One that never began is not to begin any more; one that has ended is no error."""
    store, record = call.app[STORE], await _managed(call, params.session)
    if record["state"] == "created":
        with contextlib.suppress(Conflict):  # the same was said a moment ago
            return view(await store.move(params.session, "failed", error="ended before it was started"))
        record = await _managed(call, params.session)
    if record["state"] not in UNDER_WAY:
        return view(record)
    try:
        recording = await call.app[CLIENT].call(recorder.STOP, params, host=record["host"])
    except NotFound:
        if record["state"] == "starting":
            return view(await store.move(params.session, "failed", error="ended while it was starting"))
        raise Conflict(
            f"the recorder on {record['host']} has lost the recording; it will be closed without it",
            code=Code.SESSION_STATE,
            state=record["state"],
        ) from None
    if record["state"] == "starting":
        await recorded(call, record, recording)
    return view(await store.bring(params.session, "stopped"))


async def _managed(call: Call, session: str) -> Document:
    record = await call.app[STORE].get(session)
    if not api_record.is_managed(record):
        raise NotFound(f"there is no managed session {session}")
    return record


async def _starting(call: Call, session: str, host: str) -> Document:
    """The session, about to be started or already recorded on this host. Raises Conflict 4007, 4011."""
    record = await _managed(call, session)
    if record["state"] == "created":
        with contextlib.suppress(Conflict):  # the same was said a moment ago
            return await call.app[STORE].move(session, "starting", host=host)
        record = await _managed(call, session)
    if record["state"] not in {"starting", "recording"}:
        check(record["state"], "starting")
    if record["host"] != host:
        raise Conflict(f"session {session} was started on {record['host']}", state=record["state"])
    return record


async def _begun(call: Call, record: Document) -> recorder.Recording:
    """The recording that somebody else has begun, once its first fragment is durable.

    Raises Conflict 4007 where that came to nothing, Unavailable where it takes too long.
    """
    client, path = call.app[CLIENT], SessionPath(record["_id"])
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(START_SECONDS):
            while True:
                with contextlib.suppress(NotFound):  # its place in the spool is being made
                    recording = await client.call(recorder.GET, path, host=record["host"])
                    if recording.chunks:
                        return recording
                if (current := await call.app[STORE].get(record["_id"]))["state"] == "failed":
                    raise Conflict(
                        f"the session failed: {current['error']}", code=Code.SESSION_STATE, state="failed"
                    )
                await asyncio.sleep(POLL_SECONDS)
    raise Unavailable(f"the recorder on {record['host']} has no picture yet", code=Code.TIMEOUT)
