"""What session-api tells of sessions beyond their books, and what of them can be changed."""

import asyncio
import time

from lucid.contracts import session_anchoring as anchoring
from lucid.contracts import session_api as contract
from lucid.contracts import session_storage as storage
from lucid.contracts.types import SessionPath
from lucid.evidence import dsse, statements
from lucid.evidence import leaf as leaves
from lucid.evidence.manifest import InterimAnchor, Manifest
from lucid.kit.app import Call, Handlers
from lucid.kit.client import CLIENT
from lucid.kit.errors import Code, Conflict, Forbidden, NotFound
from lucid.kit.routes import Access, Nothing
from lucid.sessions import figures
from lucid.sessions.api_record import is_managed
from lucid.sessions.api_session import STORE, owned
from lucid.sessions.api_store import view
from lucid.sessions.closing import session_leaves
from lucid.sessions.policy import RECORDING, policy_sha256

handlers = Handlers()


@handlers.on(contract.LIST)
async def list_sessions(call: Call, params: contract.SessionsQuery, _: Nothing) -> contract.Sessions:
    """Mine; everybody's for admins."""
    owner = params.owner
    if call.user.access < Access.ADMIN:
        if owner not in {None, call.user.sub}:
            raise Forbidden("only admins may ask for other people's sessions", field="owner")
        owner = call.user.sub
    before = await owned(call, params.before) if params.before else None
    chosen = {"owner": owner, "state": params.state}
    found = await call.app[STORE].page(
        {name: value for name, value in chosen.items() if value is not None},
        params.limit + 1,
        before,
        created=(params.from_ms, params.to_ms),
    )
    page = found[: params.limit]
    more = page[-1]["_id"] if len(found) > params.limit else None
    return contract.Sessions(tuple(view(record) for record in page), more)


@handlers.on(contract.UPDATE)
async def update(call: Call, params: SessionPath, body: contract.UpdateSession) -> contract.Session:
    """Changes a session's name, and before it is started how it will be recorded."""
    record = await owned(call, params.session)
    changes = {name: value for name in ("name", *RECORDING) if (value := getattr(body, name)) is not None}
    fixes = not changes.keys().isdisjoint(RECORDING)
    if fixes and is_managed(record):
        raise Conflict(
            "how a remote desktop is recorded is its owner's signed policy; only the name can be changed",
            code=Code.SESSION_STATE,
            state=record["state"],
        )
    if fixes:
        changes["policy_sha256"] = policy_sha256({**record, **changes})
    if not changes:
        return view(record)
    return view(await call.app[STORE].change(record, changes, only_created=fixes))


@handlers.on(contract.STATISTICS)
async def statistics(call: Call, params: SessionPath, _: Nothing) -> contract.Statistics:
    """The session in figures."""
    record = await owned(call, params.session)
    client = call.app[CLIENT]
    # Arrivals after leaves: what came in between has no leaf here and is left out.
    stored = [leaves.decode(encoded) for encoded in await session_leaves(client, params.session)]
    arrivals, listed = await asyncio.gather(
        client.call(storage.ARRIVALS, params), client.call(anchoring.OF_SESSION, params)
    )
    anchors = [anchor for anchor in listed.anchors if anchor.kind in {"anchor", "manifest"}]
    final = [anchor for anchor in anchors if anchor.state == "final"]
    manifest = next((_manifest(anchor) for anchor in final if anchor.kind == "manifest"), None)
    gaps = figures.gaps(stored, manifest)
    anchored = manifest.count if manifest else max((_count(anchor) for anchor in final), default=0)
    return contract.Statistics(
        session=params.session,
        state=record["state"],
        duration_ms=manifest.end_ms - manifest.start_ms if manifest else figures.span_ms(stored),
        chunks=len(stored),
        raw_bytes=sum(leaf.plain_size for leaf in stored),
        sealed_bytes=sum(leaf.sealed_size for leaf in stored),
        ratio=figures.ratio(stored),
        gaps=len(gaps),
        gap_ms=sum(gap.end_ms - gap.start_ms for gap in gaps),
        anchors=len(anchors),
        final_anchors=len(final),
        unanchored_ms=0 if manifest else figures.unanchored_ms(stored, anchored, time.time_ns() // 1_000_000),
        stored_after=figures.delays(stored, arrivals.stored_ms),
    )


@handlers.on(contract.PROOF)
async def proof(call: Call, params: contract.ProofQuery, _: Nothing) -> contract.Proof:
    """How far the session is anchored."""
    await owned(call, params.session)
    anchors = (await call.app[CLIENT].call(anchoring.OF_SESSION, SessionPath(params.session))).anchors
    rows = tuple(
        contract.AnchorRow(entry=a.entry, kind=a.kind, state=a.state, index=a.index, height=a.height)
        for a in anchors[params.offset : params.offset + params.limit]
    )
    done = any(a.kind == "manifest" and a.state == "final" for a in anchors)
    return contract.Proof(session=params.session, anchored=done, anchors=rows, total=len(anchors))


@handlers.on(contract.MANIFEST_ENTRY)
async def manifest_entry(call: Call, params: contract.ManifestPath, _: Nothing) -> contract.ManifestEntry:
    """A manifest by the name that it has in the log; it stays there whatever becomes of the session."""
    unknown = f"there is no manifest {params.entry}"
    try:
        anchor = await call.app[CLIENT].call(anchoring.STATUS, anchoring.AnchorPath(params.entry))
        if anchor.kind != "manifest" or anchor.session is None:
            raise NotFound(unknown)
        await owned(call, anchor.session)
    except NotFound:
        # The same words whether it does not exist or is somebody else's.
        raise NotFound(unknown, entry=params.entry) from None
    return contract.ManifestEntry(
        entry=anchor.entry,
        session=anchor.session,
        state=anchor.state,
        envelope=anchor.envelope,
        index=anchor.index,
        height=anchor.height,
    )


def _manifest(anchor: anchoring.Anchor) -> Manifest:
    return statements.read(dsse.parse(anchor.envelope.encode()), Manifest)


def _count(anchor: anchoring.Anchor) -> int:
    return statements.read(dsse.parse(anchor.envelope.encode()), InterimAnchor).count
