"""Two engines at one chain, and blocks that somebody put into the database: one chain, and no lie in it."""

import asyncio

import msgspec

from lucid.blocks.chain import Chain
from lucid.blocks.store import BlockRecord, Store
from lucid.evidence import block
from tests.blocks.chains import ENTRIES, expected_root, hand_in, published, states
from tests.blocks.conftest import Clock, OpenChain


class TestTwoEngines:
    async def test_propose_at_the_same_height_and_one_wins(
        self, engine: OpenChain, store: Store, clock: Clock
    ) -> None:
        first, second = await engine(), await engine(memory="second")
        await hand_in(store, ENTRIES[0])
        clock.next_slot()
        mine = await first._propose()
        await hand_in(store, ENTRIES[1])
        clock.now += 1
        theirs = await second._propose()
        assert mine is not None
        assert theirs == mine
        assert await second.advance()
        assert await first.advance()
        assert first.final == second.final == mine.header
        assert await states(store, *ENTRIES[:2]) == ["final", "pending"]

    async def test_at_full_speed_make_one_chain(self, engine: OpenChain, store: Store, clock: Clock) -> None:
        engines = [await engine(), await engine(memory="second")]
        for entry in ENTRIES:
            await hand_in(store, entry)
            clock.next_slot()
            await asyncio.gather(*(each.advance() for each in engines))
        clock.next_slot()
        for each in engines:
            while await each.advance():
                pass
        first, second = engines
        assert first.final == second.final
        assert first.log.root() == second.log.root()
        assert first.final.log_root == expected_root(first, *ENTRIES)


class TestVoidBlock:
    async def test_changes_nothing_and_is_never_cosigned(
        self, engine: OpenChain, store: Store, clock: Clock
    ) -> None:
        chain = await engine()
        await chain.advance()
        await hand_in(store, *ENTRIES)
        clock.next_slot()
        bad = await self.propose_lie(chain, store, clock)
        assert await chain.advance()
        voided = await store.block(1)
        assert voided is not None
        assert voided.state == "void"
        assert await store.cosignatures(1) == ()
        assert published(chain).header == chain.genesis
        assert (chain.tip, chain.final) == (bad, chain.genesis)
        assert await states(store, *ENTRIES) == ["pending"] * len(ENTRIES)

    async def test_is_followed_by_a_block_that_extends_the_last_final_log(
        self, engine: OpenChain, store: Store, clock: Clock
    ) -> None:
        chain = await engine()
        await hand_in(store, *ENTRIES)
        clock.next_slot()
        bad = await self.propose_lie(chain, store, clock)
        await chain.advance()
        restarted = await engine()
        assert (restarted.tip, restarted.final) == (bad, chain.genesis)
        clock.next_slot()
        assert await restarted.advance()
        assert restarted.final.height == 2
        assert restarted.final.previous == block.block_hash(bad)
        assert published(restarted).header.log_root == expected_root(restarted, *ENTRIES)

    async def test_that_repeats_an_entry_of_the_log_is_void(
        self, engine: OpenChain, store: Store, clock: Clock
    ) -> None:
        chain = await engine()
        await hand_in(store, *ENTRIES[:2])
        clock.next_slot()
        await chain.advance()
        clock.next_slot()
        lie = msgspec.structs.replace(
            chain.final, height=2, previous=block.block_hash(chain.final), time_ms=clock()
        )
        await store.propose(BlockRecord(lie, ((ENTRIES[1].hash,),)))
        await chain.advance()
        assert (chain.tip.height, chain.final.height) == (2, 1)

    @staticmethod
    async def propose_lie(chain: Chain, store: Store, clock: Clock) -> block.Header:
        """As somebody who can write to the database would: a block with a log root of its own."""
        lie = msgspec.structs.replace(
            chain.tip,
            height=chain.tip.height + 1,
            previous=block.block_hash(chain.tip),
            time_ms=clock(),
            log_root="f" * 64,
        )
        await store.propose(BlockRecord(lie, ()))
        return lie
