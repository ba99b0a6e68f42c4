"""Lays out evidence bundles and replays: any stretch is read alone, nothing larger than a chunk is held."""

import contextlib
import hashlib
import re
from collections.abc import AsyncGenerator, Sequence
from functools import partial

from lucid.contracts import blockchain_engine as engine
from lucid.contracts import chunk_processor as processor
from lucid.contracts import session_anchoring as anchoring
from lucid.contracts import session_storage as storage
from lucid.contracts.types import ChunkPath, SessionPath
from lucid.evidence import archive, block, bundle, dsse, statements
from lucid.evidence import leaf as leaves
from lucid.evidence.bundle import ChunkKey, Entry, Parts
from lucid.evidence.leaf import Leaf
from lucid.evidence.manifest import Manifest
from lucid.kit import ranges
from lucid.kit.client import ServiceClient
from lucid.kit.errors import Code, Conflict, NotFound
from lucid.kit.routes import NOTHING, Content, Nothing, Route, Stream
from lucid.sessions.closing import session_leaves
from lucid.sessions.parts import Part, Reader, held, stretch
from lucid.sessions.recording_state import EVENTS, NAMES, PICTURE

SUFFIXES = {PICTURE: "mp4", EVENTS: "events.jsonl"}

_TAG = re.compile(r'"([0-9]{1,15})-[0-9a-f]{64}"')


async def manifest_of(client: ServiceClient, session: str) -> tuple[str, Manifest]:
    """The session's manifest, its envelope and what it says. Raises Conflict while it is not final."""
    anchors = (await client.call(anchoring.OF_SESSION, SessionPath(session))).anchors
    for anchor in anchors:
        if anchor.kind == "manifest" and anchor.state == "final":
            return anchor.envelope, statements.read(dsse.parse(anchor.envelope.encode()), Manifest)
    raise Conflict(
        f"session {session} has no manifest in a final block yet; wait until it is completed",
        code=Code.SESSION_STATE,
    )


async def export(
    client: ServiceClient,
    session: str,
    policy: bytes,
    *,
    with_chunks: bool,
    keys: tuple[ChunkKey, ...] = (),
    resumed: str | None = None,
) -> Content:
    """The evidence bundle of a completed session; with `keys`, its chunks are only those that they open.

    `policy` is the session's policy document.
    `resumed` is the entity tag of a bundle that broke off. It names the block whose checkpoint that bundle
    had, so the same bytes are made again, even though the chain has grown since then.
    """
    if match := _TAG.fullmatch(resumed or ""):
        with contextlib.suppress(NotFound):
            content = await _bundle(client, session, policy, with_chunks, keys, int(match[1]))
            if ranges.tag(content) == resumed:
                return content
    return await _bundle(client, session, policy, with_chunks, keys, None)


async def _bundle(
    client: ServiceClient,
    session: str,
    policy: bytes,
    with_chunks: bool,
    keys: tuple[ChunkKey, ...],
    height: int | None,
) -> Content:
    """The bundle under the checkpoint of the block at `height`, or the newest. Raises NotFound."""
    _, manifest = await manifest_of(client, session)
    anchors = (await client.call(anchoring.OF_SESSION, SessionPath(session))).anchors
    entries = tuple(
        anchor.entry
        for anchor in anchors
        if anchor.height is not None and (height is None or anchor.height <= height)
    )
    if not entries:
        raise NotFound(f"block {height} is before the session's first anchor")
    evidence = await client.call(engine.EVIDENCE, NOTHING, engine.EvidenceQuery(entries, height))
    encoded = (await session_leaves(client, session))[: manifest.count]
    head = bundle.metadata(
        Parts(
            session=session,
            genesis=evidence.genesis.encode(),
            header=evidence.header.encode(),
            checkpoint=evidence.checkpoint.encode(),
            consistency=evidence.consistency,
            policy=policy,
            entries=tuple(
                Entry(index=e.index, envelope=dsse.parse(e.envelope.encode()), proof=e.proof)
                for e in evidence.entries
            ),
            leaves=tuple(encoded),
            keys=keys,
        )
    )
    chunks = [leaves.decode(line) for line in encoded] if with_chunks else []
    if keys:
        disclosed = {(key.track, key.index) for key in keys}
        chunks = [leaf for leaf in chunks if (leaf.track, leaf.index) in disclosed]
    layout = [held(head), *(part for leaf in chunks for part in _member(client, leaf)), held(archive.END)]
    length = sum(part.size for part in layout)
    # The head holds the digests of all that follows; the length says whether the chunks do.
    digest = hashlib.sha256(head + length.to_bytes(8, "big")).hexdigest()
    return Content(
        partial(stretch, layout),
        length=length,
        etag=f"{block.decode(evidence.header.encode()).height}-{digest}",
        filename=bundle.file_name(session),
    )


async def replay(client: ServiceClient, session: str, track: int = PICTURE) -> Content:
    """One track of the recording as it was captured, opened chunk by chunk. Raises NotFound: it has none."""
    _, manifest = await manifest_of(client, session)
    if track not in {recorded.track for recorded in manifest.tracks}:
        raise NotFound(f"session {session} has no {NAMES[track]}: none was to be recorded")
    encoded = (await session_leaves(client, session))[: manifest.count]
    chunks = [leaf for line in encoded if (leaf := leaves.decode(line)).track == track]
    return opened(client, session, chunks, manifest.root, SUFFIXES[track])


def opened(
    client: ServiceClient, session: str, chunks: Sequence[Leaf], tag: str, suffix: str = SUFFIXES[PICTURE]
) -> Content:
    """These chunks as they were captured, one after the other. `tag` names them, `suffix` what they are."""
    layout = [Part(leaf.plain_size, _read(client, processor.OPEN, leaf)) for leaf in chunks]
    return Content(
        partial(stretch, layout),
        length=sum(part.size for part in layout),
        etag=tag,
        filename=f"{session}.{suffix}",
    )


def _member(client: ServiceClient, leaf: Leaf) -> tuple[Part, ...]:
    """A sealed chunk as a member of the archive."""
    return (
        held(archive.member_header(bundle.chunk_name(leaf), leaf.sealed_size)),
        Part(leaf.sealed_size, _read(client, storage.CHUNK, leaf)),
        held(archive.padding(leaf.sealed_size)),
    )


def _read(client: ServiceClient, route: Route[ChunkPath, Nothing, Stream], leaf: Leaf) -> Reader:
    path = ChunkPath(leaf.session, leaf.track, leaf.index)

    def read(first: int, stop: int) -> AsyncGenerator[bytes, None]:
        return client.stream(route, path, part=(first, stop))

    return read
