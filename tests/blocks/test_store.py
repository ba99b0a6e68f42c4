"""What MongoDB keeps: every write can come twice, late, or from two engines at once."""

import asyncio

import pytest

from lucid.blocks.chain import Chain
from lucid.blocks.entries import LogEntry
from lucid.blocks.state import ChainState, touched
from lucid.blocks.store import BlockRecord, Store
from lucid.kit.mongo import Database
from tests.blocks.conftest import Clock, OpenChain
from tests.blocks.world import START_MS, Signer, recording, session_id

RECORDER = Signer("recorder")
SESSION = session_id(1)
REGISTRATION, OPENING, ANCHOR, *_ = RECORDER.registration(), *recording(RECORDER, SESSION)


async def sealed(chain: Chain, store: Store, clock: Clock, *entries: LogEntry) -> BlockRecord:
    await store.entries.add("0" * 64, entries, START_MS)
    clock.next_slot()
    assert await chain.advance()
    return await store.existing(chain.tip.height)


async def accepted(chain: Chain, store: Store, clock: Clock, *entries: LogEntry) -> BlockRecord:
    """A block that is bound to become final, nothing of it applied yet."""
    await store.entries.add("0" * 64, entries, START_MS)
    clock.next_slot()
    record = await chain._propose()
    assert record is not None
    before, after = await chain._execute(record)
    assert after is not None
    await store.accept(record, before, after)
    return record


async def state(store: Store, chain: Chain) -> ChainState:
    return await store.slice(touched([REGISTRATION, OPENING, ANCHOR]), chain._frontier)


class TestSettling:
    async def test_completing_again_or_at_once_changes_nothing(
        self, engine: OpenChain, store: Store, clock: Clock
    ) -> None:
        chain = await engine()
        record = await accepted(chain, store, clock, REGISTRATION, OPENING)
        results = await asyncio.gather(*(store.complete(1) for _ in range(4)))
        assert {result.state for result in results} == {"final"}
        once = await state(store, chain)
        assert (await store.complete(1)).header == record.header
        assert await state(store, chain) == once
        assert once.sessions[SESSION].count == 0

    async def test_an_engine_that_comes_late_does_not_undo_later_blocks(
        self, engine: OpenChain, store: Store, database: Database, clock: Clock
    ) -> None:
        chain = await engine()
        await accepted(chain, store, clock, REGISTRATION, OPENING)
        late = await database["blocks"].find_one({"_id": 1})
        await chain.advance()
        await sealed(chain, store, clock, ANCHOR)
        newest = await state(store, chain)
        assert newest.sessions[SESSION].count == 1
        assert late is not None
        await database["blocks"].replace_one({"_id": 1}, late)
        assert (await store.complete(1)).state == "final"
        assert await state(store, chain) == newest

    async def test_holds_and_tombstones_last_from_block_to_block(
        self, engine: OpenChain, store: Store, database: Database, clock: Clock
    ) -> None:
        chain = await engine()
        closer = Signer("closer", "closer")
        await sealed(chain, store, clock, REGISTRATION, OPENING, closer.registration())
        await database["chain_sessions"].update_one({"_id": SESSION}, {"$unset": {"held": "", "erased": ""}})
        await sealed(chain, store, clock, RECORDER.manifest(SESSION, 0), closer.hold(SESSION))
        assert (await state(store, chain)).sessions[SESSION].held
        await sealed(chain, store, clock, closer.hold(SESSION, held=False))
        await sealed(chain, store, clock, closer.erasure(SESSION))
        ended = (await state(store, chain)).sessions[SESSION]
        assert (ended.held, ended.erased) == (False, True)

    async def test_a_settled_block_can_neither_be_accepted_nor_voided(
        self, engine: OpenChain, store: Store, clock: Clock
    ) -> None:
        chain = await engine()
        record = await sealed(chain, store, clock, REGISTRATION)
        nothing = ChainState(chain._frontier)
        await store.accept(record, nothing, nothing)
        assert (await store.void(1)).state == "final"

    async def test_entries_that_have_vanished_stop_it(
        self, engine: OpenChain, store: Store, database: Database, clock: Clock
    ) -> None:
        chain = await engine()
        await accepted(chain, store, clock, REGISTRATION, OPENING)
        await database["entries"].delete_one({"_id": OPENING.hash})
        with pytest.raises(LookupError, match="1 of its entries have vanished"):
            await store.complete(1)


class TestOnce:
    async def test_a_height_has_one_block(self, engine: OpenChain, store: Store, clock: Clock) -> None:
        chain = await engine()
        record = await sealed(chain, store, clock, REGISTRATION)
        assert await store.propose(BlockRecord(record.header, ((OPENING.hash,),))) == await store.block(1)

    async def test_a_validator_has_one_vote_and_one_cosignature_at_a_height(self, store: Store) -> None:
        await store.prepare()
        for text in ("first", "second"):
            await store.add_vote(7, "ann", text)
            await store.add_cosignature(7, "ann", text)
        await store.add_vote(7, "bob", "third")
        assert await store.votes([7, 8]) == {7: ("first", "third"), 8: ()}
        assert await store.cosignatures(7) == ("first",)


class TestWaiting:
    async def test_entries_wait_in_the_order_they_came(self, store: Store) -> None:
        await store.prepare()
        entries = [Signer(f"recorder{number}").registration() for number in range(20)]
        for entry in entries:
            await store.entries.add("0" * 64, [entry], START_MS)
        assert [record.hash for record in await store.entries.pending(10**6)] == [e.hash for e in entries]

    async def test_no_more_are_read_than_a_block_can_hold(self, store: Store) -> None:
        await store.prepare()
        entries = [Signer(f"recorder{number}").registration() for number in range(20)]
        await store.entries.add("0" * 64, entries, START_MS)
        assert len(await store.entries.pending(len(entries[0].data) * 4)) == 5

    async def test_the_oldest_tells_how_long_the_chain_is_behind(self, store: Store) -> None:
        await store.prepare()
        assert await store.entries.oldest_pending_ms() is None
        await store.entries.add("0" * 64, [REGISTRATION], START_MS)
        await store.entries.add("0" * 64, [OPENING], START_MS + 5)
        assert await store.entries.oldest_pending_ms() == START_MS
        await store.entries.refuse({REGISTRATION.hash: "no"})
        assert await store.entries.oldest_pending_ms() == START_MS + 5
        assert await store.entries.pending_count() == 1
