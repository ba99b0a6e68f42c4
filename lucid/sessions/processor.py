"""chunk-processor: compresses, encrypts and hashes chunks, and has session-storage keep them."""

import asyncio
import time
from collections.abc import AsyncIterator

import msgspec
from aiohttp import web

from lucid.catalog import database_of
from lucid.contracts import chunk_processor as contract
from lucid.contracts import session_storage as storage
from lucid.contracts.types import MAX_CHUNK, MAX_SEALED, ChunkPath, SessionPath
from lucid.evidence import leaf as leaves
from lucid.evidence import sealing, wrapping
from lucid.evidence.errors import EvidenceError, FormatError, SealError
from lucid.evidence.leaf import ChunkId, Leaf
from lucid.evidence.wrapping import Kek
from lucid.kit import app as kit
from lucid.kit import mongo, settings
from lucid.kit.app import Call, Handlers
from lucid.kit.client import CLIENT
from lucid.kit.errors import Code, Invalid, LucidError
from lucid.kit.launch import service_client
from lucid.kit.routes import Content, Nothing, Stream
from lucid.kit.tasks import TASKS
from lucid.sessions import metrics
from lucid.sessions.budget import Budget
from lucid.sessions.processor_store import SessionKeys
from lucid.sessions.rewrapping import rewrap

BUDGET = 32 * 1024 * 1024
"""Raw bytes in work at once; others wait in their sockets. Sealing holds up to three times as much."""
STORE_SECONDS = 30.0


class ProcessorSettings(settings.Common, frozen=True, kw_only=True):
    """The password and salt that the key-encryption key is derived from."""

    encryption_password: settings.Secret
    encryption_password_previous: settings.Secret | None = None
    """The password before, while keys are still wrapped under it. They are wrapped anew in the background."""
    encryption_salt: settings.Secret


KEYS = web.AppKey("keys", SessionKeys)
MONGO = web.AppKey("mongo", mongo.Database)
WORK = web.AppKey("work", Budget)

handlers = Handlers()


@handlers.on(contract.CREATE_KEY)
async def create_key(call: Call, params: SessionPath, _: Nothing) -> contract.SessionKey:
    """Makes the session's key, once."""
    record = await call.app[KEYS].create(params.session, time.time_ns() // 1_000_000)
    return contract.SessionKey(
        session=params.session, kek_id=record["kek_id"], created_ms=record["created_ms"]
    )


@handlers.on(contract.PROCESS)
async def process(call: Call, params: ChunkPath, body: Stream) -> contract.Receipt:
    """Seals a chunk and has it stored. The leaf in the receipt is the one on record, whoever came first."""
    claim = _claim(call.request.headers.get(contract.CLAIM_HEADER))
    chunk = ChunkId(params.session, params.track, params.index)
    begin = time.perf_counter()
    key = await call.app[KEYS].key(params.session)
    async with call.app[WORK].take(body.length or MAX_CHUNK):
        raw = bytearray()
        async for piece in body.chunks:
            raw += piece
        received = time.perf_counter()
        sealed = await asyncio.to_thread(_seal, key, chunk, raw, claim)
        leaf = sealed.leaf(start_ms=claim.start_ms, end_ms=claim.end_ms)
        sealed_at, size = time.perf_counter(), len(raw)
        del raw
        try:
            stored = await call.app[CLIENT].call(
                storage.STORE,
                storage.StoreChunk(
                    session=params.session, track=params.track, index=params.index, sequence=claim.sequence
                ),
                data=sealed.data,
                headers={storage.LEAF_HEADER: leaves.encode(leaf).decode()},
                seconds=STORE_SECONDS,
            )
        except LucidError as error:
            metrics.pipeline_errors_total.labels("store", error.code.name.lower()).inc()
            metrics.chunks_processed_total.labels("failed").inc()
            raise
    done = time.perf_counter()
    metrics.stage_seconds.labels("receive").observe(received - begin)
    metrics.stage_seconds.labels("seal").observe(sealed_at - received)
    metrics.stage_seconds.labels("store").observe(done - sealed_at)
    metrics.chunk_seconds.observe(done - begin)
    metrics.chunk_bytes.observe(size)
    metrics.chunks_processed_total.labels("duplicate" if stored.duplicate else "sealed").inc()
    return contract.Receipt(
        leaf=stored.leaf,
        duplicate=stored.duplicate,
        seal_ms=round((sealed_at - received) * 1000, 2),
        store_ms=round((done - sealed_at) * 1000, 2),
    )


@handlers.on(contract.OPEN)
async def open_chunk(call: Call, params: ChunkPath, _: Nothing) -> Stream:
    """A chunk as it was recorded; nothing is sent before all of it has been checked."""
    client = call.app[CLIENT]
    key = await call.app[KEYS].stored_key(params.session)
    leaf = await _stored_leaf(call, params)
    sealed = bytearray()
    async for piece in client.stream(storage.CHUNK, params):
        sealed += piece
        if len(sealed) > MAX_SEALED:
            raise LucidError("session-storage sent more than a chunk", code=Code.EXTERNAL)
    try:
        raw = await asyncio.to_thread(sealing.open_sealed, key, leaf, sealed)
    except SealError as error:
        raise LucidError(f"session-storage's chunk does not open: {error}", code=Code.EXTERNAL) from error

    async def part(first: int, stop: int) -> AsyncIterator[bytes]:
        yield raw[first:stop]

    return Content(part, length=len(raw), etag=leaf.sealed_sha256)


@handlers.on(contract.DISCLOSE)
async def disclose(call: Call, params: ChunkPath, _: Nothing) -> contract.ChunkKey:
    """The key of one chunk, made sure of by the commitment in its leaf."""
    key = await call.app[KEYS].stored_key(params.session)
    leaf = await _stored_leaf(call, params)
    salt = bytearray()
    async for piece in call.app[CLIENT].stream(storage.CHUNK, params, part=(0, sealing.SALT_SIZE)):
        salt += piece
    try:
        secret = sealing.chunk_key(key, salt)
        sealing.check_chunk_key(secret, leaf)
    except SealError as error:
        raise LucidError(f"session-storage's chunk does not open: {error}", code=Code.EXTERNAL) from error
    return contract.ChunkKey(key=secret.hex())


@handlers.on(contract.ERASE_KEY)
async def erase_key(call: Call, params: SessionPath, _: Nothing) -> contract.ErasedKey:
    """Destroys the session's key."""
    erased_ms = await call.app[KEYS].erase(params.session, time.time_ns() // 1_000_000)
    return contract.ErasedKey(session=params.session, erased_ms=erased_ms)


async def create() -> web.Application:
    """The application of chunk-processor."""
    found = settings.load(ProcessorSettings)
    kek = await _kek(found, found.encryption_password)
    former = found.encryption_password_previous
    previous = await _kek(found, former) if former else None

    async def resources(app: web.Application) -> AsyncIterator[None]:
        app[KEYS] = SessionKeys(app[MONGO], kek, previous)
        app[WORK] = Budget(BUDGET)
        app[TASKS].start("rewrap", lambda: rewrap(app[KEYS]))
        yield

    return kit.build(
        contract.SERVICE,
        handlers,
        resources=[mongo.context(found.mongodb_url, database_of(contract.SERVICE), MONGO), resources],
        client=service_client(found, contract.SERVICE),
    )


async def _kek(found: ProcessorSettings, password: settings.Secret) -> Kek:
    return await asyncio.to_thread(wrapping.derive_kek, password.text(), found.encryption_salt.reveal())


def _claim(header: str | None) -> contract.Claim:
    if header is None:
        raise Invalid(f"header {contract.CLAIM_HEADER} is missing", code=Code.MISSING_FIELD)
    try:
        # As it was received, which may be no text.
        return msgspec.json.decode(header.encode(errors="surrogateescape"), type=contract.Claim)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Invalid(f"header {contract.CLAIM_HEADER}: {error}", code=Code.FORMAT) from None


def _seal(key: bytes, chunk: ChunkId, raw: bytearray, claim: contract.Claim) -> sealing.Sealed:
    try:
        sealed = sealing.seal(key, chunk, raw, bytes.fromhex(claim.raw_nonce))
        if sealed.raw_commitment != claim.raw_commitment:
            raise Invalid("the body is not what the claim commits to (raw_commitment)", code=Code.FORMAT)
        sealed.leaf(start_ms=claim.start_ms, end_ms=claim.end_ms)
    except FormatError as error:
        raise Invalid(str(error), code=Code.CHUNK_SIZE if error.field == "raw" else Code.FORMAT) from None
    except EvidenceError as error:
        raise Invalid(str(error), code=Code.FORMAT) from None
    except ValueError as error:
        raise Invalid(f"header {contract.CLAIM_HEADER}: {error}", code=Code.FORMAT) from None
    return sealed


async def _stored_leaf(call: Call, params: ChunkPath) -> Leaf:
    client = call.app[CLIENT]
    return leaves.decode((await client.call(storage.LEAF, params)).leaf.encode())
