"""blockchain-engine: blocks, the log, its checkpoint, and proofs.

What is final is answered from memory, for the newest published checkpoint: an answer never mixes two of them.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence

from aiohttp import web

from lucid.blocks import engine_settings
from lucid.blocks.chain import Chain, Published, now_ms
from lucid.blocks.entries import LogEntry, Refused, entry_hash, parse
from lucid.blocks.entry_store import EntryRecord
from lucid.blocks.runner import ChainRunner
from lucid.blocks.store import BlockRecord, Store
from lucid.blocks.transactions import transaction_hash
from lucid.catalog import database_of
from lucid.contracts import blockchain_engine as contract
from lucid.evidence import block, trust
from lucid.evidence.trust import TrustFile, default_quorum
from lucid.kit import app as kit
from lucid.kit import mongo
from lucid.kit.app import Call, Handlers
from lucid.kit.errors import Code, Invalid, NotFound, Unavailable
from lucid.kit.health import CHECKS
from lucid.kit.mongo import Database
from lucid.kit.routes import Nothing, Stream
from lucid.kit.tasks import TASKS

DATABASE_KEY = web.AppKey("database", Database)
RUNNER = web.AppKey("runner", ChainRunner)
SETTINGS = web.AppKey("settings", engine_settings.Settings)

OPEN_SECONDS = 5.0
"""How long the start waits for the chain; without MongoDB the service starts all the same, and says so."""

handlers = Handlers()


@handlers.on(contract.INFO)
async def info(call: Call, _params: Nothing, _body: Nothing) -> contract.ChainInfo:
    """Who runs the chain, and how far it is."""
    chain = call.app[RUNNER].chain
    file = _trust_file(chain)
    return contract.ChainInfo(
        origin=file.origin,
        genesis_hash=file.genesis_hash,
        validators=file.validators,
        quorum=file.quorum,
        height=chain.final.height,
        log_size=chain.final.log_size,
        block_time_ms=chain.plan.block_time_ms,
    )


@handlers.on(contract.STATUS)
async def status(call: Call, _params: Nothing, _body: Nothing) -> contract.ChainStatus:
    """What waits, and for how long."""
    runner = call.app[RUNNER]
    return contract.ChainStatus(
        height=runner.chain.final.height,
        pending_entries=await runner.store.entries.pending_count(),
        last_block_ms=runner.chain.final.time_ms,
        unanchored_seconds=await runner.unanchored_seconds(),
    )


@handlers.on(contract.TRUST)
async def trust_file(call: Call, _params: Nothing, _body: Nothing) -> Stream:
    """The trust file, as this engine sees itself."""
    data = trust.encode(_trust_file(call.app[RUNNER].chain))
    return _whole(data)


@handlers.on(contract.CHECKPOINT)
async def checkpoint(call: Call, _params: Nothing, _body: Nothing) -> Stream:
    """The newest published checkpoint."""
    return _whole(_published(call).note)


@handlers.on(contract.BLOCKS)
async def blocks(call: Call, params: contract.BlocksQuery, _body: Nothing) -> contract.Blocks:
    """A page of blocks."""
    store = call.app[RUNNER].store
    records = await store.page(params.before, params.limit)
    votes = await store.votes([record.header.height for record in records])
    return contract.Blocks(tuple(_block(record, votes[record.header.height]) for record in records))


@handlers.on(contract.BLOCK)
async def one_block(call: Call, params: contract.HeightPath, _body: Nothing) -> contract.Block:
    """One block."""
    store = call.app[RUNNER].store
    record = await store.block(params.height)
    if record is None:
        raise NotFound(f"there is no block {params.height}", height=params.height)
    return _block(record, (await store.votes([params.height]))[params.height])


@handlers.on(contract.INCLUSION)
async def inclusion(call: Call, params: contract.InclusionQuery, _body: Nothing) -> contract.Inclusion:
    """Prove an entry."""
    chain, published = call.app[RUNNER].chain, _published(call)
    size = published.header.log_size if params.size is None else params.size
    _require_published(published, size)
    record = await call.app[RUNNER].store.entries.get(params.entry)
    if record is None or record.index is None or record.index >= size:
        raise NotFound(f"entry {params.entry} is not in the log of size {size}", entry=params.entry)
    return contract.Inclusion(
        entry=params.entry,
        index=record.index,
        size=size,
        root=chain.log.root(size).hex(),
        proof=_hex(chain.log.inclusion_proof(record.index, size)),
    )


@handlers.on(contract.CONSISTENCY)
async def consistency(call: Call, params: contract.ConsistencyQuery, _body: Nothing) -> contract.Consistency:
    """Prove growth."""
    _require_published(_published(call), params.second)
    if params.first > params.second:
        raise Invalid(f"first is {params.first}, above second", code=Code.OUT_OF_RANGE, field="first")
    proof = call.app[RUNNER].chain.log.consistency_proof(params.first, params.second)
    return contract.Consistency(params.first, params.second, _hex(proof))


@handlers.on(contract.SUBMIT)
async def submit(call: Call, _params: Nothing, body: contract.Transaction) -> contract.Accepted:
    """Take entries. Their form is judged here, what they claim when a block is made of them."""
    runner = call.app[RUNNER]
    _ = runner.chain
    data = [text.encode() for text in body.entries]
    if (size := sum(map(len, data))) > contract.MAX_TRANSACTION:
        raise Invalid(
            f"entries: {size} bytes; a transaction has at most {contract.MAX_TRANSACTION}, send several",
            code=Code.TOO_LARGE,
            limit=contract.MAX_TRANSACTION,
        )
    good, refused = await asyncio.to_thread(_parse_all, data)
    transaction = transaction_hash([entry_hash(each) for each in data]).hex()
    if good:
        await runner.store.entries.add(transaction, list(good.values()), now_ms())
        runner.wake()
    return contract.Accepted(transaction=transaction, entries=tuple(good), refused=refused)


@handlers.on(contract.ENTRY)
async def entry(call: Call, params: contract.EntryPath, _body: Nothing) -> contract.Entry:
    """Where an entry stands."""
    record = await call.app[RUNNER].store.entries.get(params.entry)
    if record is None:
        raise NotFound(f"no entry {params.entry} has been handed in", entry=params.entry)
    return contract.Entry(record.hash, record.state, record.index, record.height, record.reason)


@handlers.on(contract.EVIDENCE)
async def evidence(call: Call, _params: Nothing, body: contract.EvidenceQuery) -> contract.Evidence:
    """Entries and their proofs, all to one checkpoint."""
    chain, published = call.app[RUNNER].chain, await _published_at(call, body.height)
    size = published.header.log_size
    found = await call.app[RUNNER].store.entries.of(set(body.entries))
    indexed: dict[int, EntryRecord] = {}
    for name in body.entries:
        record = found.get(name)
        if record is None or record.index is None or record.index >= size:
            raise NotFound(f"entry {name} is not under the checkpoint of size {size} yet", entry=name)
        indexed[record.index] = record
    return contract.Evidence(
        genesis=block.encode(chain.genesis).decode(),
        header=block.encode(published.header).decode(),
        checkpoint=published.note.decode(),
        consistency=_hex(chain.log.consistency_proof(chain.genesis.log_size, size)),
        entries=tuple(
            contract.ProvenEntry(
                index, indexed[index].data.decode(), _hex(chain.log.inclusion_proof(index, size))
            )
            for index in sorted(indexed)
        ),
    )


async def create() -> web.Application:
    """The application. Raises SettingsError."""
    found = engine_settings.load()
    resources = (
        mongo.context(found.mongodb_url, database_of(contract.SERVICE), DATABASE_KEY),
        _runner_context,
    )
    engine_settings.validator(found)
    app = kit.build(contract.SERVICE, handlers, resources=resources)
    app[SETTINGS] = found
    return app


async def _runner_context(app: web.Application) -> AsyncIterator[None]:
    found = app[SETTINGS]
    validator = engine_settings.validator(found)
    runner = ChainRunner(Store(app[DATABASE_KEY]), validator, engine_settings.plan(found, validator))
    app[RUNNER] = runner
    app[CHECKS].add("chain", runner.check)
    app[CHECKS].add("clock", runner.check_clock, needed=False)
    app[TASKS].start("chain", runner.run)
    # Until then it does not listen, and who comes waits, instead of being told to come again.
    await runner.opened(OPEN_SECONDS)
    yield


def _published(call: Call) -> Published:
    published = call.app[RUNNER].chain.published
    if published is None:
        raise Unavailable("no checkpoint is published yet; try again", code=Code.CHAIN_UNAVAILABLE)
    return published


async def _published_at(call: Call, height: int | None) -> Published:
    """The checkpoint of the block at `height`; None: the newest. Raises NotFound, Unavailable."""
    newest = _published(call)
    if height is None:
        return newest
    record = await call.app[RUNNER].store.block(height)
    if record is None or record.checkpoint is None or height > newest.header.height:
        raise NotFound(f"block {height} has no published checkpoint", height=height)
    return Published(record.header, record.checkpoint)


def _require_published(published: Published, size: int) -> None:
    newest = published.header.log_size
    if size > newest:
        raise Invalid(
            f"size {size} is above the newest checkpoint's, {newest}",
            code=Code.OUT_OF_RANGE,
            checkpoint_size=newest,
        )


def _trust_file(chain: Chain) -> TrustFile:
    return TrustFile(
        format="lucid-trust/v1",
        origin=chain.plan.origin,
        genesis_hash=block.block_hash(chain.genesis),
        validators=tuple(each.vkey for each in chain.plan.validators),
        quorum=default_quorum(len(chain.plan.validators)),
    )


def _block(record: BlockRecord, votes: tuple[str, ...]) -> contract.Block:
    return contract.Block(
        height=record.header.height,
        hash=block.block_hash(record.header),
        header=block.encode(record.header).decode(),
        state="proposed" if record.state == "accepted" else record.state,
        entries=record.entries,
        votes=votes,
    )


def _parse_all(data: Sequence[bytes]) -> tuple[dict[str, LogEntry], tuple[contract.Refusal, ...]]:
    """Well-formed entries by hash, each once, and refusals of the others."""
    good: dict[str, LogEntry] = {}
    refused = []
    for each in data:
        try:
            parsed = parse(each)
            good[parsed.hash] = parsed
        except Refused as reason:
            refused.append(contract.Refusal(entry_hash(each), str(reason)))
    return good, tuple(refused)


def _hex(hashes: Sequence[bytes]) -> tuple[str, ...]:
    return tuple(each.hex() for each in hashes)


def _whole(data: bytes) -> Stream:
    async def pieces() -> AsyncIterator[bytes]:
        yield data

    return Stream(pieces(), length=len(data))
