"""The chain as one engine runs it: what is final in memory, everything else in MongoDB.

`advance` is the whole life of a block. Each of its steps can be the last before a crash, and each can find
that another engine was faster; either way the next `advance` reads what is there and goes on.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lucid.blocks import votes
from lucid.blocks.entries import LogEntry, Refused, parse
from lucid.blocks.entry_store import EntryRecord
from lucid.blocks.frontier import Frontier
from lucid.blocks.measures import blocks_total
from lucid.blocks.proposal import Waiting, propose
from lucid.blocks.state import MAX_BLOCK_BYTES, ChainState, InvalidBlock, touched
from lucid.blocks.store import BlockRecord, Store
from lucid.blocks.validator import ForkError, Validator, judge
from lucid.evidence import block, merkle, registration
from lucid.evidence.block import Header
from lucid.evidence.checkpoint import Cosigner
from lucid.evidence.log import parse_entry
from lucid.evidence.registration import Genesis
from lucid.kit.logs import log


class ChainError(Exception):
    """The chain cannot go on: its data, or the settings, contradict what it is. The text names the fix."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the settings say about a chain; the first three are fixed for ever by its genesis."""

    origin: str
    block_time_ms: int
    validators: tuple[Cosigner, ...]
    heartbeat_ms: int
    """A block is made at least this often, so that the checkpoint shows that the chain lives."""


@dataclass(frozen=True, slots=True)
class Published:
    """A checkpoint with a quorum of cosignatures, and the header that it renders."""

    header: Header
    note: bytes


def now_ms() -> int:
    """Milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


def steady_ms() -> int:
    """Milliseconds by a clock that nobody sets: good for durations only."""
    return time.monotonic_ns() // 1_000_000


class Chain:
    """One engine's view of the chain. Make it with `open_chain`.

    Blocks come in time whatever befalls the wall clock: waiting goes by the steady one. While the wall clock
    is behind the newest block's time, each block is one millisecond later than the one before.
    """

    def __init__(
        self,
        store: Store,
        validator: Validator,
        plan: Plan,
        genesis: Header,
        clock: Callable[[], int],
        steady: Callable[[], int],
    ) -> None:
        self._store = store
        self._validator = validator
        self._clock = clock
        self._steady = steady
        self._frontier = Frontier()
        self.plan = plan
        self.genesis = genesis
        self._take_tip(genesis)
        self.final = genesis
        """Header of the newest final block."""
        self.log = merkle.Tree()
        """The log of the newest final block."""
        self.published: Published | None = None

    @property
    def seconds_to_next_block(self) -> float:
        """How long until the next block may be proposed; 0 when it may be now."""
        return max(0, self.plan.block_time_ms - self._tip_age_ms) / 1000

    @property
    def clock_behind_seconds(self) -> float:
        """How far this host's clock is behind the newest block's time: it, or a proposer's, was set."""
        return max(0, self.tip.time_ms - self._clock()) / 1000

    @property
    def _tip_age_ms(self) -> int:
        return self._steady() - self._tip_since

    async def advance(self) -> bool:
        """Take the next block as far as it will go: proposed, voted on, settled, published.

        Return whether a block was settled. Raise PyMongoError when MongoDB is away: just call again later.
        """
        await self._publish()
        record = await self._store.block(self.tip.height + 1) or await self._propose()
        if record is not None:
            record = await self._settle(record)
        if record is None:
            return False
        self._adopt(record)
        await self._publish()
        return True

    async def load(self) -> None:
        """Read the log back from MongoDB; raise ChainError unless it is what the headers commit to."""
        tip = await self._store.newest_settled()
        final = await self._store.newest_final(tip.header.height) if tip else None
        if tip is None or final is None:
            raise ChainError("block 0 in MongoDB is not final; restore lucid_blocks from a backup")
        async for index, leaf in self._store.entries.log(final.header.log_size):
            if index != len(self.log):
                raise ChainError(f"log entry {len(self.log)} is missing in MongoDB; restore it from a backup")
            self.log.append(leaf)
            self._frontier = self._frontier.append(leaf)
        if len(self.log) != final.header.log_size or self.log.root().hex() != final.header.log_root:
            raise ChainError(
                f"the log in MongoDB is not the one that block {final.header.height} commits to: entries "
                "were altered or lost; restore lucid_blocks from a backup"
            )
        self._validator.require_extension(self.plan.origin, self.log, len(self.log))
        self.final = final.header
        self._take_tip(tip.header)
        published = await self._store.newest_published()
        if published and published.checkpoint and published.header.log_size <= len(self.log):
            self.published = Published(published.header, published.checkpoint)

    async def _propose(self) -> BlockRecord | None:
        """Make a block if it is due and there is a reason; return what MongoDB took for the height."""
        if self.seconds_to_next_block > 0:
            return None
        now = max(self._clock(), self.tip.time_ms + 1)
        pending = await self._store.entries.pending(MAX_BLOCK_BYTES)
        waiting, refused = await asyncio.to_thread(_read_waiting, pending)
        # Read after the entries: whatever became final in between is in the state, never in neither.
        state = await self._store.slice(touched(item.entry for item in waiting), self._frontier)
        proposal = await asyncio.to_thread(
            propose, self.tip, state, waiting, proposer=self._validator.key_id, time_ms=now
        )
        refused |= proposal.refused
        for name, reason in refused.items():
            log.warning("entry refused", entry=name, reason=reason)
        await self._store.entries.refuse(refused)
        if not proposal.transactions and self._tip_age_ms < self.plan.heartbeat_ms:
            return None
        if behind := self.clock_behind_seconds:
            log.warning("the clock is behind the newest block, whose time goes on from there", seconds=behind)
        transactions = tuple(tuple(entry.hash for entry in group) for group in proposal.transactions)
        return await self._store.propose(BlockRecord(proposal.header, transactions))

    async def _settle(self, record: BlockRecord) -> BlockRecord | None:
        """Vote on a proposed block and, once a quorum has, make it final or void. None: votes are missing.

        What another engine has begun to settle is only brought to its end.
        """
        height = record.header.height
        if record.state == "proposed":
            before, after = await self._execute(record)
            # Settling a block changes the state it was executed on: the result counts if nobody had begun to.
            if (await self._store.existing(height)).state == "proposed":
                verdict = await self._vote(record.header, "accept" if after else "reject")
                if verdict is None:
                    return None
                if verdict == "reject":
                    return await self._store.void(height)
                if after is None:
                    raise ChainError(
                        f"a quorum accepted block {height}, but it is invalid here; the log names the rule. "
                        "Compare this engine's release with the other validators'"
                    )
                await self._store.accept(record, before, after)
        return await self._store.complete(height)

    async def _vote(self, header: Header, mine: votes.Verdict) -> votes.Verdict | None:
        """Vote on a block; return the quorum's verdict, if there is one."""
        await self._store.add_vote(header.height, self._validator.key_id, self._validator.vote(header, mine))
        given = (await self._store.votes([header.height]))[header.height]
        return votes.verdict(header, given, self.plan.validators)

    async def _execute(self, record: BlockRecord) -> tuple[ChainState, ChainState | None]:
        """Execute a block; return the state before it, and after it unless it is invalid."""
        before = ChainState(self._frontier)
        try:
            found = await self._store.entries.of(record.entries)
            transactions = await asyncio.to_thread(_read_block, record, found)
            before = await self._store.slice(
                touched(entry for group in transactions for entry in group), self._frontier
            )
            after = await asyncio.to_thread(
                judge,
                self.tip,
                before,
                record.header,
                transactions,
                validators=self.plan.validators,
                now_ms=self._clock(),
            )
        except InvalidBlock as reason:
            log.error("block rejected", height=record.header.height, reason=str(reason))
            return before, None
        return before, after

    def _adopt(self, record: BlockRecord) -> None:
        """Take a settled block into memory. A void one keeps its place among the headers and adds nothing."""
        if record.state == "final":
            leaves = [bytes.fromhex(name) for name in record.entries]
            frontier = self._frontier
            for leaf in leaves:
                frontier = frontier.append(leaf)
            if frontier.root().hex() != record.header.log_root:
                raise ChainError(f"block {record.header.height} is final, but does not make its own log root")
            for leaf in leaves:
                self.log.append(leaf)
            self._frontier, self.final = frontier, record.header
        self._take_tip(record.header)
        blocks_total.labels(record.state).inc()
        log.info("block settled", height=self.tip.height, state=record.state, entries=len(record.entries))

    def _take_tip(self, header: Header) -> None:
        """Take the header of the newest block that is settled: final or void.

        The wall clock says only now how old it is; if that was set back, it is as good as new.
        """
        self.tip = header
        self._tip_since = self._steady() - max(0, self._clock() - header.time_ms)

    async def _publish(self) -> None:
        """Cosign the newest final block's checkpoint, and publish it once a quorum has.

        Only final blocks come here, so that a void block can never leave a cosigned fork.
        """
        header = self.final
        if self.published and self.published.header == header:
            return
        line = self._validator.cosign(header, self.log, self._clock() // 1000)
        await self._store.add_cosignature(header.height, self._validator.key_id, line)
        lines = await self._store.cosignatures(header.height)
        note = votes.published_note(header, lines, self.plan.validators)
        if note is not None:
            await self._store.publish(header.height, note)
            self.published = Published(header, note)


async def open_chain(
    store: Store,
    validator: Validator,
    plan: Plan,
    clock: Callable[[], int] = now_ms,
    steady: Callable[[], int] = steady_ms,
) -> Chain:
    """Return the chain in `store`, begun if there is none yet.

    Raise ChainError or ForkError if it is not the one that the settings or the validator's memory speak of.
    """
    await store.prepare()
    first = await store.block(0)
    if first is None:
        if remembered := validator.remembered():
            raise ForkError(
                f"MongoDB holds no chain, but this validator has cosigned {remembered.origin} up to size "
                f"{remembered.size}; restore lucid_blocks from a backup"
            )
        await store.begin(validator.sign_genesis(_genesis(plan, clock())))
        first = await store.existing(0)
    # The root of a log of one entry is that entry's hash.
    entry_record = await store.entries.get(first.header.log_root)
    if entry_record is None or block.genesis_header(entry_record.data) != first.header:
        raise ChainError("block 0 does not fit log entry 0 in MongoDB; restore lucid_blocks from a backup")
    _require_same(plan, registration.verify_genesis(parse_entry(entry_record.data)))
    chain = Chain(store, validator, plan, first.header, clock, steady)
    await chain.load()
    return chain


def _genesis(plan: Plan, time_ms: int) -> Genesis:
    validators = tuple(
        registration.Validator(name=each.name, public_key=each.public_key.hex()) for each in plan.validators
    )
    return Genesis(
        origin=plan.origin, time_ms=time_ms, block_time_ms=plan.block_time_ms, validators=validators
    )


def _require_same(plan: Plan, genesis: Genesis) -> None:
    """Settings cannot change a chain that exists."""
    wanted = _genesis(plan, genesis.time_ms)
    pairs = (
        ("CHAIN_ORIGIN", genesis.origin, wanted.origin),
        ("BLOCK_TIME_SECONDS", genesis.block_time_ms / 1000, wanted.block_time_ms / 1000),
        (
            "VALIDATOR_NAME or credential validator_key",
            ", ".join(f"{each.name} {each.public_key}" for each in genesis.validators),
            ", ".join(f"{each.name} {each.public_key}" for each in wanted.validators),
        ),
    )
    for setting, begun, given in pairs:
        if begun != given:
            raise ChainError(
                f"{setting}: {given}, but this chain was begun with {begun}; set it back to that"
            )


def _read_waiting(records: Iterable[EntryRecord]) -> tuple[list[Waiting], dict[str, str]]:
    """Stored entries as waiting ones, and those that are not what their name says, with the reason."""
    waiting, refused = [], {}
    for record in records:
        try:
            waiting.append(Waiting(record.transaction, _read(record)))
        except Refused as reason:
            refused[record.hash] = str(reason)
    return waiting, refused


def _read_block(record: BlockRecord, found: dict[str, EntryRecord]) -> list[list[LogEntry]]:
    """The block's transactions; raises InvalidBlock if an entry is missing or not what its name says."""
    return [[_find(found, name) for name in group] for group in record.transactions]


def _find(found: dict[str, EntryRecord], name: str) -> LogEntry:
    if name not in found:
        raise InvalidBlock(f"entry {name} of the block is nowhere to be found")
    try:
        return _read(found[name])
    except Refused as reason:
        raise InvalidBlock(f"entry {name} of the block: {reason}") from reason


def _read(record: EntryRecord) -> LogEntry:
    entry = parse(record.data)
    if entry.hash != record.hash:
        raise Refused(f"the stored envelope hashes to {entry.hash}: it was altered in MongoDB")
    return entry
