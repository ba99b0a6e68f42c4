"""session-anchoring: takes signed anchors and manifests, hands them to the chain, reads them back."""

from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from aiohttp import web

from lucid.blocks.anchor_store import AnchorRecord, AnchorStore
from lucid.blocks.anchor_worker import AnchorWorker
from lucid.blocks.chain import now_ms
from lucid.blocks.entries import LogEntry, Refused, parse
from lucid.catalog import database_of
from lucid.contracts import session_anchoring as contract
from lucid.contracts.types import SessionPath
from lucid.evidence import dsse, log, registration
from lucid.evidence.errors import EvidenceError
from lucid.evidence.registration import Registration
from lucid.kit import app as kit
from lucid.kit import launch, mongo, settings
from lucid.kit.app import Call, Handlers
from lucid.kit.client import CLIENT
from lucid.kit.errors import Code, Forbidden, Invalid, NotFound
from lucid.kit.mongo import Database
from lucid.kit.routes import Nothing
from lucid.kit.tasks import TASKS


class Settings(settings.Common, frozen=True, kw_only=True):
    """What can be set."""

    anchor_poll_seconds: Annotated[
        float,
        msgspec.Meta(
            ge=0.05,
            le=60,
            description="how often the chain is asked after anchors on their way",
            extra={"unit": "seconds"},
            examples=["1"],
        ),
    ] = 1.0


DATABASE_KEY = web.AppKey("database", Database)
STORE = web.AppKey("store", AnchorStore)
WORKER = web.AppKey("worker", AnchorWorker)
SETTINGS = web.AppKey("settings", Settings)

handlers = Handlers()


@handlers.on(contract.SUBMIT)
async def submit(call: Call, _params: Nothing, body: contract.Submit) -> contract.Anchor:
    """Take an anchor: its form and signature are judged here, its place in the session by the chain."""
    try:
        entry = parse(body.envelope.encode())
    except Refused as reason:
        raise Invalid(f"envelope: {reason}", code=Code.FORMAT, field="envelope") from None
    call.app[WORKER].require_ready()
    store = call.app[STORE]
    await _require_signature(store, entry)
    record = await store.add(entry, entry.recorder, now_ms())
    call.app[WORKER].wake()
    return _anchor(record)


@handlers.on(contract.STATUS)
async def status(call: Call, params: contract.AnchorPath, _body: Nothing) -> contract.Anchor:
    """Where an anchor stands."""
    record = await call.app[STORE].get(params.entry)
    if record is None:
        raise NotFound(f"no anchor {params.entry} has been handed in", entry=params.entry)
    return _anchor(record)


@handlers.on(contract.LIFE)
async def life(call: Call, params: contract.LifeQuery, _body: Nothing) -> contract.Life:
    """A page of what happened to a session's recording afterwards."""
    found = await call.app[STORE].life_of(params.session, params.before, params.limit + 1)
    more = found[params.limit - 1].order if len(found) > params.limit else None
    return contract.Life(tuple(_anchor(record) for record in found[: params.limit]), more)


@handlers.on(contract.OF_SESSION)
async def of_session(call: Call, params: SessionPath, _body: Nothing) -> contract.Anchors:
    """A session's anchors after the registrations of the keys that they name."""
    store = call.app[STORE]
    anchors = await store.of_session(params.session)
    keys = {anchor.signer for anchor in anchors} | {anchor.recorder for anchor in anchors}
    registrations = await store.registrations(keys)
    return contract.Anchors(tuple(_anchor(record) for record in (*registrations, *anchors)))


async def create() -> web.Application:
    """The application. Raises SettingsError."""
    found = settings.load(Settings)
    app = kit.build(
        contract.SERVICE,
        handlers,
        resources=(
            mongo.context(found.mongodb_url, database_of(contract.SERVICE), DATABASE_KEY),
            _worker_context,
        ),
        client=launch.service_client(found, contract.SERVICE),
    )
    app[SETTINGS] = found
    return app


async def _worker_context(app: web.Application) -> AsyncIterator[None]:
    store = AnchorStore(app[DATABASE_KEY])
    worker = AnchorWorker(store, app[CLIENT], app[SETTINGS].anchor_poll_seconds)
    app[STORE], app[WORKER] = store, worker

    app[TASKS].start("anchors", worker.run)
    yield


async def _require_signature(store: AnchorStore, entry: LogEntry) -> None:
    """Raise Forbidden unless the entry is signed by a key that has been handed in for registration."""
    try:
        if isinstance(entry.claim, Registration):
            registration.verify_registration(entry.envelope)
            return
        known = await store.registrations([entry.signer])
        if not known:
            raise Forbidden(f"key {entry.signer} is not registered; hand in its registration first")
        claimed = registration.verify_registration(log.parse_entry(known[0].envelope.encode()))
        dsse.verify(entry.envelope, entry.envelope.payload_type, bytes.fromhex(claimed.public_key))
    except EvidenceError as error:
        raise Forbidden(f"envelope: {error}", field="envelope") from None


def _anchor(record: AnchorRecord) -> contract.Anchor:
    return contract.Anchor(
        entry=record.hash,
        kind=record.kind,
        session=record.session,
        state=record.state,
        envelope=record.envelope,
        index=record.index,
        height=record.height,
        reason=record.reason,
    )
