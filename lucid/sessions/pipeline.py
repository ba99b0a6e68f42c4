"""session-pipeline: says how many chunks may be on their way, and where they are. It carries no bytes."""

import time
from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from aiohttp import web
from pymongo import ReturnDocument

from lucid.catalog import database_of
from lucid.contracts import session_pipeline as contract
from lucid.contracts.types import SessionPath
from lucid.kit import app as kit
from lucid.kit import mongo, redis, settings
from lucid.kit.app import Call, Handlers
from lucid.kit.errors import Code, Conflict, NotFound
from lucid.kit.logs import log
from lucid.kit.mongo import Document
from lucid.kit.redis import REDIS, RedisError
from lucid.kit.routes import Nothing
from lucid.sessions.credits import Credits
from lucid.sessions.states import PIPELINE, TransitionError

LIVE_SECONDS = 60
"""How long a recorder's last word on its spool is shown."""
RETRY_MS = 250
TOTALS = ("recorded", "stored", "anchored", "failed", "raw_bytes", "sealed_bytes")


class PipelineSettings(redis.RedisSettings, frozen=True, kw_only=True):
    """The bounds of what may be on its way."""

    pipeline_buffer_size: Annotated[
        int, msgspec.Meta(ge=1, le=100_000, description="chunks in flight, all sessions together")
    ] = 1000
    pipeline_worker_count: Annotated[
        int, msgspec.Meta(ge=1, le=64, description="chunks of one session in flight at once")
    ] = 4
    pipeline_timeout_seconds: Annotated[
        float, msgspec.Meta(gt=0, le=600, description="how long a chunk may be on its way")
    ] = 30.0


MONGO = web.AppKey("mongo", mongo.Database)
CREDITS = web.AppKey("credits", Credits)

handlers = Handlers()


@handlers.on(contract.SET_STATE)
async def set_state(call: Call, params: SessionPath, body: contract.SetState) -> contract.Pipeline:
    """Moves a pipeline on. The state that it is already in is no error: calls may be repeated."""
    pipelines = call.app[MONGO]["pipelines"]
    first = {"state": PIPELINE.first, **dict.fromkeys(TOTALS, 0)}
    await pipelines.update_one({"_id": params.session}, {"$setOnInsert": first}, upsert=True)
    current = (await _find(call, params.session))["state"]
    if current != body.state:
        try:
            PIPELINE.check(current, body.state)
        except TransitionError as error:
            raise Conflict(str(error), code=Code.SESSION_STATE, state=current) from None
        change = {"$set": {"state": body.state}}
        changed = await pipelines.update_one({"_id": params.session, "state": current}, change)
        if not changed.matched_count:
            raise Conflict("the pipeline changed meanwhile; ask again", code=Code.SESSION_STATE)
    if body.state == "stopped":
        call.app[CREDITS].drop(params.session)
    return await _view(call, await _find(call, params.session))


@handlers.on(contract.CREDITS)
async def ask(call: Call, params: SessionPath, body: contract.AskCredits) -> contract.Credits:
    """Grants what there is room for. A paused session still sends what it has on disk."""
    state = (await _find(call, params.session))["state"]
    if state not in {"active", "paused"}:
        raise Conflict(f"the pipeline is {state} and takes no chunks", code=Code.SESSION_STATE, state=state)
    wanted = [(chunk.track, chunk.index) for chunk in body.chunks]
    call.app[CREDITS].give_back(params.session, [(chunk.track, chunk.index) for chunk in body.done])
    granted = call.app[CREDITS].grant(params.session, wanted, time.monotonic())
    return contract.Credits(tuple(contract.ChunkName(*chunk) for chunk in granted), RETRY_MS)


@handlers.on(contract.REPORT)
async def report(call: Call, params: SessionPath, body: contract.Report) -> contract.Pipeline:
    """Takes the recorder's totals; they only grow, so reports may come twice or out of order."""
    call.app[CREDITS].give_back(params.session, [(chunk.track, chunk.index) for chunk in body.done])
    totals = {name: getattr(body, name) for name in TOTALS}
    record = await call.app[MONGO]["pipelines"].find_one_and_update(
        {"_id": params.session}, {"$max": totals}, return_document=ReturnDocument.AFTER
    )
    if record is None:
        raise _unknown(params.session)
    try:
        await call.app[REDIS].set(_live(params.session), body.spooled_bytes, ex=LIVE_SECONDS)
    except RedisError as error:
        log.warning("live figures not kept", error=str(error))
    return await _view(call, record)


@handlers.on(contract.GET)
async def get(call: Call, params: SessionPath, _: Nothing) -> contract.Pipeline:
    """A session's pipeline."""
    return await _view(call, await _find(call, params.session))


async def create() -> web.Application:
    """The application of session-pipeline."""
    found = settings.load(PipelineSettings)

    async def resources(app: web.Application) -> AsyncIterator[None]:
        app[CREDITS] = Credits(
            found.pipeline_buffer_size, found.pipeline_worker_count, found.pipeline_timeout_seconds
        )
        yield

    stores = [
        mongo.context(found.mongodb_url, database_of(contract.SERVICE), MONGO),
        redis.context(contract.SERVICE, found),
    ]
    return kit.build(contract.SERVICE, handlers, resources=[*stores, resources])


async def _find(call: Call, session: str) -> Document:
    record = await call.app[MONGO]["pipelines"].find_one({"_id": session})
    if record is None:
        raise _unknown(session)
    return record


def _unknown(session: str) -> NotFound:
    return NotFound(f"session {session} has no pipeline; it is opened when the session starts")


async def _view(call: Call, record: Document) -> contract.Pipeline:
    session = record["_id"]
    try:
        live = await call.app[REDIS].get(_live(session))
    except RedisError:
        live = None
    return contract.Pipeline(
        session=session,
        state=record["state"],
        in_flight=call.app[CREDITS].in_flight(session),
        spooled_bytes=None if live is None else int(live),
        **{name: record[name] for name in TOTALS},
    )


def _live(session: str) -> str:
    return f"lucid:{contract.SERVICE}:{session}:spooled"
