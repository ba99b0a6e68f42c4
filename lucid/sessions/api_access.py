"""Hands out recordings and their evidence. Whoever gets a recording is on record before its first byte."""

import hashlib

import msgspec
from aiohttp import web

from lucid.contracts import session_anchoring as anchoring
from lucid.contracts import session_api as contract
from lucid.contracts.session_access import (
    Accesses,
    AccessQuery,
    AccessRow,
    BundleQuery,
    DisclosureQuery,
    ReportViolation,
    WatchQuery,
)
from lucid.contracts.types import SessionPath
from lucid.evidence import dsse, statements
from lucid.evidence import leaf as leaves
from lucid.evidence.life import Access, Erasure, Hold, Violation
from lucid.evidence.statements import Statement
from lucid.kit.app import Call, Handlers
from lucid.kit.client import CLIENT
from lucid.kit.errors import Code, Conflict
from lucid.kit.routes import Nothing, Stream
from lucid.sessions import bundles, disclosure
from lucid.sessions.access import AccessLog
from lucid.sessions.api_session import STORE, owned
from lucid.sessions.closing import session_leaves
from lucid.sessions.policy import policy_document
from lucid.sessions.recording_state import EVENTS
from lucid.sessions.retention import require_kept

ACCESS = web.AppKey("access", AccessLog)
STATEMENTS: dict[str, type[Statement]] = {
    "access": Access,
    "hold": Hold,
    "erasure": Erasure,
    "violation": Violation,
}

handlers = Handlers()


@handlers.on(contract.BUNDLE)
async def bundle(call: Call, params: BundleQuery, _: Nothing) -> Stream:
    """The evidence bundle. Without chunks there is nothing of the recording in it, and nothing to note."""
    record = await owned(call, params.session)
    if params.chunks:
        require_kept(record)
    content = await bundles.export(
        call.app[CLIENT],
        params.session,
        policy_document(record),
        with_chunks=params.chunks,
        resumed=_resumed(call),
    )
    if params.chunks:
        stretch = await _whole(call, params.session)
        await call.app[ACCESS].record(params.session, call.user.sub, "export", stretch)
    return content


@handlers.on(contract.RECEIPT)
async def receipt(call: Call, params: SessionPath, _: Nothing) -> Stream:
    """The bundle without chunks: proves what was recorded, also when that is erased, and tells none of it."""
    policy = policy_document(await owned(call, params.session))
    return await bundles.export(
        call.app[CLIENT], params.session, policy, with_chunks=False, resumed=_resumed(call)
    )


@handlers.on(contract.REPLAY)
async def replay(call: Call, params: SessionPath, _: Nothing) -> Stream:
    """The recording, opened."""
    require_kept(await owned(call, params.session))
    content = await bundles.replay(call.app[CLIENT], params.session)
    stretch = await _whole(call, params.session)
    await call.app[ACCESS].record(params.session, call.user.sub, "replay", stretch)
    return content


@handlers.on(contract.EVENTS)
async def events(call: Call, params: SessionPath, _: Nothing) -> Stream:
    """The events track of the recording, opened."""
    require_kept(await owned(call, params.session))
    content = await bundles.replay(call.app[CLIENT], params.session, EVENTS)
    stretch = await _whole(call, params.session)
    await call.app[ACCESS].record(params.session, call.user.sub, "replay", stretch)
    return content


@handlers.on(contract.WATCH)
async def watch(call: Call, params: WatchQuery, _: Nothing) -> Stream:
    """A few chunks of the picture, opened. Whoever watches asks again and again, and is noted as often."""
    require_kept(await owned(call, params.session))
    stored = await session_leaves(call.app[CLIENT], params.session)
    chosen = disclosure.pictures(map(leaves.decode, stored), params.first, params.limit)
    await require_on_log(call, SessionPath(params.session))
    stretch = min(leaf.start_ms for leaf in chosen), max(leaf.end_ms for leaf in chosen)
    await call.app[ACCESS].record(params.session, call.user.sub, "replay", stretch)
    tag = hashlib.sha256(b"".join(map(leaves.encode, chosen))).hexdigest()
    return bundles.opened(call.app[CLIENT], params.session, chosen, tag)


@handlers.on(contract.DISCLOSURE)
async def disclose(call: Call, params: DisclosureQuery, _: Nothing) -> Stream:
    """The bundle with a stretch of the recording and the keys that open it."""
    record = await owned(call, params.session)
    require_kept(record)
    client = call.app[CLIENT]
    manifest = (await bundles.manifest_of(client, params.session))[1]
    stored = (await session_leaves(client, params.session))[: manifest.count]
    chosen = disclosure.select([leaves.decode(line) for line in stored], params.start_ms, params.end_ms)
    stretch = min(leaf.start_ms for leaf in chosen), max(leaf.end_ms for leaf in chosen)
    # Keys are asked for only once it is on record that they are handed out.
    await call.app[ACCESS].record(params.session, call.user.sub, "disclosure", stretch)
    keys = await disclosure.keys(client, chosen)
    return await bundles.export(
        client,
        params.session,
        policy_document(record),
        with_chunks=True,
        keys=keys,
        resumed=_resumed(call),
    )


@handlers.on(contract.ACCESSES)
async def accesses(call: Call, params: AccessQuery, _: Nothing) -> Accesses:
    """What was done with the recording, newest first."""
    await owned(call, params.session)
    query = anchoring.LifeQuery(params.session, params.limit, params.before)
    page = await call.app[CLIENT].call(anchoring.LIFE, query)
    return Accesses(tuple(map(_row, page.entries)), page.next)


@handlers.on(contract.VIOLATION)
async def violation(call: Call, params: SessionPath, body: ReportViolation) -> AccessRow:
    """Puts on the log that a session's policy was not kept."""
    await call.app[STORE].get(params.session)
    await require_on_log(call, params)
    said = Violation(session=params.session, kind=body.kind, detail=body.detail, time_ms=body.time_ms)
    return _row(await call.app[ACCESS].record_violation(said))


async def require_on_log(call: Call, session: SessionPath) -> None:
    """Raises Conflict 4007 while the log knows nothing of the session: it would take no entry about it."""
    known = (await call.app[CLIENT].call(anchoring.OF_SESSION, session)).anchors
    if not any(anchor.kind == "anchor" for anchor in known):
        raise Conflict(
            f"session {session.session} is not on the log: nothing of it is recorded",
            code=Code.SESSION_STATE,
        )


def _row(anchor: anchoring.Anchor) -> AccessRow:
    kind = STATEMENTS[anchor.kind]
    said = statements.read(dsse.parse(anchor.envelope.encode()), kind)
    more: dict[str, str] = {"what": anchor.kind}
    if isinstance(said, Access):
        more = {"what": said.what}
    elif isinstance(said, Hold):
        more = {"what": "hold" if said.held else "release"}
    elif isinstance(said, Violation):
        more |= {"reason": said.kind}
    both = msgspec.to_builtins(anchor) | msgspec.to_builtins(said) | more
    return msgspec.convert(both, AccessRow)


async def _whole(call: Call, session: str) -> tuple[int, int]:
    """From when to when the session was recorded, in ms."""
    manifest = (await bundles.manifest_of(call.app[CLIENT], session))[1]
    return manifest.start_ms, manifest.end_ms


def _resumed(call: Call) -> str | None:
    return call.request.headers.get("If-Range")
