"""Assembles evidence bundles and replays as streams: nothing larger than a piece of a chunk is held."""

from collections.abc import AsyncIterator

from lucid.contracts import blockchain_engine as engine
from lucid.contracts import chunk_processor as processor
from lucid.contracts import session_anchoring as anchoring
from lucid.contracts import session_storage as storage
from lucid.contracts.types import ChunkPath, SessionPath
from lucid.evidence import archive, bundle, dsse, statements
from lucid.evidence import leaf as leaves
from lucid.evidence.bundle import Entry, Parts
from lucid.evidence.leaf import Leaf
from lucid.evidence.manifest import Manifest
from lucid.kit.client import ServiceClient
from lucid.kit.errors import Code, Conflict
from lucid.kit.routes import NOTHING, Stream
from lucid.sessions.closing import session_leaves


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


async def export(client: ServiceClient, session: str, *, with_chunks: bool) -> Stream:
    """The evidence bundle of a completed session, with its exact length."""
    _, manifest = await manifest_of(client, session)
    anchors = (await client.call(anchoring.OF_SESSION, SessionPath(session))).anchors
    entries = tuple(a.entry for a in anchors if a.state == "final")
    evidence = await client.call(engine.EVIDENCE, NOTHING, engine.EvidenceQuery(entries))
    encoded = (await session_leaves(client, session))[: manifest.count]
    head = bundle.metadata(
        Parts(
            session=session,
            genesis=evidence.genesis.encode(),
            header=evidence.header.encode(),
            checkpoint=evidence.checkpoint.encode(),
            consistency=evidence.consistency,
            entries=tuple(
                Entry(index=e.index, envelope=dsse.parse(e.envelope.encode()), proof=e.proof)
                for e in evidence.entries
            ),
            leaves=tuple(encoded),
        )
    )
    chunks = [leaves.decode(line) for line in encoded] if with_chunks else []
    length = len(head) + sum(_member_size(leaf) for leaf in chunks) + len(archive.END)

    async def pieces() -> AsyncIterator[bytes]:
        yield head
        for leaf in chunks:
            yield archive.member_header(bundle.chunk_name(leaf), leaf.sealed_size)
            async for piece in client.stream(storage.CHUNK, _path(leaf)):
                yield piece
            yield archive.padding(leaf.sealed_size)
        yield archive.END

    return Stream(pieces(), length=length, content_type=bundle.MEDIA_TYPE, filename=bundle.file_name(session))


async def replay(client: ServiceClient, session: str) -> Stream:
    """The recording as it was captured, opened chunk by chunk."""
    _, manifest = await manifest_of(client, session)
    encoded = (await session_leaves(client, session))[: manifest.count]
    chunks = [leaves.decode(line) for line in encoded]

    async def pieces() -> AsyncIterator[bytes]:
        for leaf in chunks:
            async for piece in client.stream(processor.OPEN, _path(leaf)):
                yield piece

    length = sum(leaf.plain_size for leaf in chunks)
    return Stream(pieces(), length=length, content_type="video/mp4", filename=f"{session}.mp4")


def _path(leaf: Leaf) -> ChunkPath:
    return ChunkPath(leaf.session, leaf.track, leaf.index)


def _member_size(leaf: Leaf) -> int:
    return archive.BLOCK + leaf.sealed_size + len(archive.padding(leaf.sealed_size))
