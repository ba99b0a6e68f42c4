"""session-api: creates, starts, stops and shows sessions, and hands out their evidence."""

import socket
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated
from weakref import WeakValueDictionary

import msgspec
from aiohttp import web

from lucid.catalog import database_of
from lucid.contracts import auth_service as auth
from lucid.contracts import session_api as contract
from lucid.contracts import session_pipeline as pipeline
from lucid.contracts.types import SessionPath
from lucid.evidence import leaf as leaves
from lucid.kit import app as kit
from lucid.kit import mongo, settings
from lucid.kit.app import Call, Handlers
from lucid.kit.client import CLIENT
from lucid.kit.identity import verifying
from lucid.kit.launch import service_client
from lucid.kit.routes import Nothing
from lucid.kit.tasks import TASKS
from lucid.kit.tokens import VERIFIER
from lucid.sessions import (
    api_access,
    api_life,
    api_managed,
    api_record,
    api_recording,
    api_views,
    bundles,
    metrics,
)
from lucid.sessions.access import AccessLog
from lucid.sessions.api_session import STORE, owned
from lucid.sessions.api_store import SessionStore, view
from lucid.sessions.closing import Closer, session_leaves
from lucid.sessions.erasure import Eraser
from lucid.sessions.follower import Follower
from lucid.sessions.life_store import LifeStore
from lucid.sessions.signer import Signer


class ApiSettings(settings.Common, frozen=True, kw_only=True):
    """The closing key, and when it is used."""

    closing_key: settings.Secret
    host_name: Annotated[str, msgspec.Meta(description="this host's name; empty: ask the system")] = ""
    recorder_lost_seconds: Annotated[
        float,
        msgspec.Meta(gt=0, description="a session whose recorder is silent this long is closed without it"),
    ] = 300.0
    retention_interval_seconds: Annotated[
        float,
        msgspec.Meta(gt=0, description="how often recordings are looked for whose time is over"),
    ] = 3600.0
    key_backup_days: Annotated[
        int,
        msgspec.Meta(ge=0, le=30, description="how long backups of session keys are kept"),
    ] = 30


MONGO = web.AppKey("mongo", mongo.Database)

handlers = Handlers(
    api_views.handlers,
    api_access.handlers,
    api_life.handlers,
    api_recording.handlers,
    api_managed.handlers,
)


@handlers.on(contract.CREATE)
async def create_session(call: Call, _: Nothing, body: contract.CreateSession) -> contract.Session:
    """Writes the session down."""
    record = api_record.new(str(uuid.uuid4()), call.user.sub, body.name, msgspec.structs.asdict(body))
    await call.app[STORE].insert(record)
    metrics.sessions_created_total.labels("created").inc()
    return view(record)


@handlers.on(contract.GET)
async def get_session(call: Call, params: SessionPath, _: Nothing) -> contract.Session:
    """One session."""
    return view(await owned(call, params.session))


@handlers.on(contract.CHUNKS)
async def chunks(call: Call, params: contract.ChunksQuery, _: Nothing) -> contract.Chunks:
    """A stretch of the stored chunks."""
    await owned(call, params.session)
    stored = await session_leaves(call.app[CLIENT], params.session)
    page = [leaves.decode(line) for line in stored[params.offset : params.offset + params.limit]]
    fields = contract.ChunkRow.__struct_fields__
    rows = tuple(contract.ChunkRow(**{name: getattr(leaf, name) for name in fields}) for leaf in page)
    return contract.Chunks(rows, len(stored))


@handlers.on(contract.MANIFEST)
async def manifest(call: Call, params: SessionPath, _: Nothing) -> contract.Manifest:
    """The signed manifest."""
    await owned(call, params.session)
    envelope, _statement = await bundles.manifest_of(call.app[CLIENT], params.session)
    return contract.Manifest(envelope)


@handlers.on(contract.PIPELINE)
async def show_pipeline(call: Call, params: SessionPath, _: Nothing) -> pipeline.Pipeline:
    """What is on its way."""
    await owned(call, params.session)
    return await call.app[CLIENT].call(pipeline.GET, params)


async def create() -> web.Application:
    """The application of session-api."""
    found = settings.load(ApiSettings)
    host = found.host_name or socket.gethostname()
    signer = Signer(found.closing_key, "closer", host, Path(found.state_directory))
    client = service_client(found, contract.SERVICE)
    verifier, fresh = verifying(client, auth.JWKS, auth.REVOCATIONS)

    async def resources(app: web.Application) -> AsyncIterator[None]:
        app[STORE] = SessionStore(app[MONGO])
        await app[STORE].prepare()
        app[api_life.LIFE] = LifeStore(app[MONGO])
        await app[api_life.LIFE].prepare()
        app[api_access.ACCESS] = AccessLog(app[CLIENT], signer)
        app[api_life.ERASER] = Eraser(
            store=app[api_life.LIFE],
            client=app[CLIENT],
            signer=signer,
            interval_seconds=found.retention_interval_seconds,
            backup_days=found.key_backup_days,
        )
        follower = Follower(app[STORE], app[CLIENT], Closer(app[CLIENT], signer), found.recorder_lost_seconds)
        app[TASKS].start("registration", lambda: signer.register(app[CLIENT]))
        app[TASKS].start("follower", follower.run)
        app[TASKS].start("eraser", app[api_life.ERASER].run)
        yield

    database = mongo.context(found.mongodb_url, database_of(contract.SERVICE), MONGO)
    service = kit.build(contract.SERVICE, handlers, resources=[database, fresh, resources], client=client)
    service[VERIFIER] = verifier
    service[api_managed.STARTS] = WeakValueDictionary()
    return service
