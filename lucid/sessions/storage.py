"""session-storage: an answer to a PUT means that the chunk is on disk and on record, and will stay so."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from aiohttp import web

from lucid.catalog import database_of
from lucid.contracts import session_storage as contract
from lucid.contracts.types import ChunkPath, SessionPath
from lucid.evidence import leaf as leaves
from lucid.evidence.errors import FormatError
from lucid.evidence.leaf import ChunkId, Leaf
from lucid.kit import app as kit
from lucid.kit import mongo, settings
from lucid.kit.app import Call, Handlers
from lucid.kit.errors import Code, Conflict, Invalid, NotFound, StorageFull
from lucid.kit.health import CHECKS
from lucid.kit.logs import log
from lucid.kit.mongo import Document
from lucid.kit.routes import Content, Nothing, Stream
from lucid.kit.tasks import TASKS
from lucid.sessions import metrics
from lucid.sessions.chunk_files import ChunkFiles
from lucid.sessions.storage_store import ChunkRecords

UPLOADS_AT_ONCE = 8
"""Bounds memory: each upload holds one chunk. Others wait in their sockets."""
SWEEP_SECONDS = 3600.0
"""A file without a record is left alone from one sweep to the next: its record may be on the way."""


class StorageSettings(settings.Common, frozen=True, kw_only=True):
    """Where chunks are kept."""

    chunk_storage_path: Annotated[
        str, msgspec.Meta(description="directory of sealed chunks; empty: under the state directory")
    ] = ""
    storage_reserve_gb: Annotated[
        float,
        msgspec.Meta(ge=0, description="not ready, and no chunk taken, below this", extra={"unit": "GB"}),
    ] = 10.0


FILES = web.AppKey("files", ChunkFiles)
RECORDS = web.AppKey("records", ChunkRecords)
MONGO = web.AppKey("mongo", mongo.Database)
UPLOADS = web.AppKey("uploads", asyncio.Semaphore)

handlers = Handlers()


@handlers.on(contract.STORE)
async def store(call: Call, params: contract.StoreChunk, body: Stream) -> contract.Stored:
    """Takes a sealed chunk: file fsync, rename, directory fsync, majority write, and only then an answer."""
    chunk = ChunkId(params.session, params.track, params.index)
    leaf, encoded = _leaf(call.request.headers.get(contract.LEAF_HEADER), chunk)
    records, files = call.app[RECORDS], call.app[FILES]
    if first := await records.find(chunk):
        return _same(first, leaf)
    async with call.app[UPLOADS]:
        data = await _receive(body, leaf)
        try:
            await asyncio.to_thread(_check_and_write, files, chunk, leaf, data)
        except StorageFull:
            metrics.storage_operations_total.labels("store", "full").inc()
            raise
        except FileNotFoundError:
            if await records.erased_ms(params.session):
                raise _erased(params.session) from None
            raise
    now_ms = time.time_ns() // 1_000_000
    if first := await records.insert(leaf, encoded, params.sequence, now_ms):
        if _decode(first).sealed_sha256 != leaf.sealed_sha256:
            await asyncio.to_thread(files.remove, chunk, leaf.sealed_sha256)
        return _same(first, leaf)
    if await records.erased_ms(params.session):
        await _erase(call.app, params.session)  # the chunk came in while its session was being erased
        raise _erased(params.session)
    metrics.storage_operations_total.labels("store", "ok").inc()
    metrics.storage_used_bytes.labels("sealed").inc(leaf.sealed_size)
    return contract.Stored(leaf=encoded.decode(), stored_ms=now_ms, duplicate=False)


@handlers.on(contract.CHUNK)
async def read(call: Call, params: ChunkPath, _: Nothing) -> Stream:
    """A sealed chunk, straight from its file; an erasure does not break off what has begun."""
    records, files = call.app[RECORDS], call.app[FILES]
    record = await _record(call, params)
    if "erased_ms" in record:
        raise _erased(params.session)
    leaf = _decode(record)
    metrics.storage_operations_total.labels("read", "ok").inc()

    async def part(first: int, stop: int) -> AsyncIterator[bytes]:
        try:
            async for piece in _in_thread(files.read(leaf.chunk, leaf.sealed_sha256, first, stop)):
                yield piece
        except FileNotFoundError:
            # The file is opened before anything is sent, and stays open: only then can it be gone already.
            if await records.erased_ms(params.session):
                raise _erased(params.session) from None
            raise

    return Content(part, length=leaf.sealed_size, etag=leaf.sealed_sha256)


@handlers.on(contract.LEAF)
async def read_leaf(call: Call, params: ChunkPath, _: Nothing) -> contract.StoredLeaf:
    """A chunk's leaf."""
    return contract.StoredLeaf((await _record(call, params))["leaf"])


@handlers.on(contract.LEAVES)
async def session_leaves(call: Call, params: SessionPath, _: Nothing) -> Stream:
    """The session's leaves, one a line."""

    async def lines() -> AsyncIterator[bytes]:
        async for line in call.app[RECORDS].leaves(params.session):
            yield line + b"\n"

    return Stream(lines())


@handlers.on(contract.ERASE)
async def erase(call: Call, params: SessionPath, _: Nothing) -> contract.Erased:
    """Removes the session's files; the records keep their leaves, so that what existed stays provable."""
    erased_ms = await _erase(call.app, params.session)
    metrics.storage_operations_total.labels("erase", "ok").inc()
    return contract.Erased(session=params.session, erased_ms=erased_ms)


@handlers.on(contract.ARRIVALS)
async def arrivals(call: Call, params: SessionPath, _: Nothing) -> contract.Arrivals:
    """When the session's chunks were stored."""
    return contract.Arrivals(tuple(await call.app[RECORDS].arrivals(params.session)))


@handlers.on(contract.USAGE)
async def usage(call: Call, _: Nothing, __: Nothing) -> contract.Usage:
    """What is kept and how much room there is."""
    chunks, size = await call.app[RECORDS].totals()
    free = await asyncio.to_thread(call.app[FILES].free)
    return contract.Usage(chunks=chunks, sealed_bytes=size, free_bytes=free)


async def create() -> web.Application:
    """The application of session-storage."""
    found = settings.load(StorageSettings)
    root = Path(found.chunk_storage_path or Path(found.state_directory) / "chunks")

    async def resources(app: web.Application) -> AsyncIterator[None]:
        files = ChunkFiles(root, int(found.storage_reserve_gb * 1e9))
        app[FILES] = files
        app[UPLOADS] = asyncio.Semaphore(UPLOADS_AT_ONCE)
        app[RECORDS] = ChunkRecords(app[MONGO])
        await app[RECORDS].prepare()

        async def room() -> None:
            await asyncio.to_thread(files.require_room)

        app[CHECKS].add("disk", room)
        app[TASKS].start("sweep", lambda: _sweep(app))
        yield

    database = mongo.context(found.mongodb_url, database_of(contract.SERVICE), MONGO)
    return kit.build(contract.SERVICE, handlers, resources=[database, resources])


async def _erase(app: web.Application, session: str) -> int:
    """On record first, so that nothing is taken or given any more; then the files. May be repeated."""
    erased_ms = await app[RECORDS].erase(session, time.time_ns() // 1_000_000)
    await asyncio.to_thread(app[FILES].erase, session)
    await _measure(app)
    return erased_ms


async def _measure(app: web.Application) -> None:
    _, size = await app[RECORDS].totals()
    metrics.storage_used_bytes.labels("sealed").set(size)


async def _sweep(app: web.Application) -> None:
    """Keeps the usage metric, and removes files that lost a race or whose upload was cut off by a crash.

    Not by their age: a wall clock that jumps would make a file look old whose record is still on the way.
    """
    suspects: set[Path] = set()
    while True:
        await _measure(app)
        suspects = await _orphans(app, suspects)
        await asyncio.sleep(SWEEP_SECONDS)


async def _orphans(app: web.Application, suspects: set[Path]) -> set[Path]:
    """Removes the files without a record that were among `suspects`; the others are suspects from now on."""
    files, found = app[FILES], set[Path]()
    for session in await asyncio.to_thread(files.sessions):
        there = await asyncio.to_thread(files.of_session, session)
        if not there:
            continue
        async for encoded in app[RECORDS].leaves(session):
            leaf = leaves.decode(encoded)
            there.discard(files.path(leaf.chunk, leaf.sealed_sha256))
        for path in there & suspects:
            log.info("removing a file that no record names", path=str(path))
            await asyncio.to_thread(path.unlink, missing_ok=True)
        found |= there - suspects
    return found


def _erased(session: str) -> NotFound:
    return NotFound(f"the recording of session {session} was erased")


def _leaf(header: str | None, chunk: ChunkId) -> tuple[Leaf, bytes]:
    if header is None:
        raise Invalid(f"header {contract.LEAF_HEADER} is missing", code=Code.MISSING_FIELD)
    encoded = header.encode(errors="surrogateescape")  # as it was received, which may be no text
    try:
        leaf = leaves.decode(encoded)
    except FormatError as error:
        raise Invalid(f"header {contract.LEAF_HEADER}: {error}", code=Code.FORMAT) from None
    if leaf.chunk != chunk:
        raise Invalid(f"header {contract.LEAF_HEADER} names another chunk than the path", code=Code.FORMAT)
    return leaf, encoded


async def _record(call: Call, params: ChunkPath) -> Document:
    record = await call.app[RECORDS].find(ChunkId(params.session, params.track, params.index))
    if record is None:
        raise NotFound(
            f"no chunk {params.index} of track {params.track} of session {params.session} is stored"
        )
    return record


async def _receive(body: Stream, leaf: Leaf) -> bytearray:
    data = bytearray()
    async for piece in body.chunks:
        data += piece
        if len(data) > leaf.sealed_size:
            break
    if len(data) != leaf.sealed_size:
        raise Invalid(f"the body has not the {leaf.sealed_size} bytes that the leaf says", code=Code.FORMAT)
    return data


def _check_and_write(files: ChunkFiles, chunk: ChunkId, leaf: Leaf, data: bytearray) -> None:
    if hashlib.sha256(data).hexdigest() != leaf.sealed_sha256:
        raise Invalid("the body is not what the leaf says (sealed_sha256 differs)", code=Code.FORMAT)
    files.write(chunk, leaf.sealed_sha256, data)


def _same(first: Document, leaf: Leaf) -> contract.Stored:
    """The receipt of the chunk that came first, if this is the same recording. Raises Conflict."""
    if _decode(first).raw_commitment != leaf.raw_commitment:
        metrics.storage_operations_total.labels("store", "conflict").inc()
        raise Conflict(
            f"another chunk {leaf.index} of track {leaf.track} is stored for session {leaf.session}"
        )
    metrics.storage_operations_total.labels("store", "duplicate").inc()
    return contract.Stored(leaf=first["leaf"], stored_ms=first["stored_ms"], duplicate=True)


def _decode(record: Document) -> Leaf:
    return leaves.decode(record["leaf"].encode())


T = TypeVar("T")


async def _in_thread(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(next, pieces, b""):
        yield piece
