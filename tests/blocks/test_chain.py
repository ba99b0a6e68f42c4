"""The life of blocks on a real MongoDB: made, voted on, final; in order, whatever clocks do."""

import asyncio

import pytest

from lucid.blocks.store import Store
from lucid.evidence import checkpoint
from lucid.kit.mongo import Database
from tests.blocks.chains import ENTRIES, expected_root, hand_in, published, states
from tests.blocks.conftest import BLOCK_MS, HEARTBEAT_MS, Clock, OpenChain
from tests.blocks.world import START_MS, Signer

HOUR_MS = 3_600_000


class TestGenesis:
    async def test_is_made_at_the_first_start_only(self, engine: OpenChain) -> None:
        first, again = await engine(), await engine()
        assert first.genesis == again.genesis
        assert (first.final.height, len(first.log)) == (0, 1)

    async def test_of_two_first_starts_at_once_one_is_kept(self, engine: OpenChain) -> None:
        first, second = await asyncio.gather(engine(), engine())
        assert first.genesis == second.genesis

    async def test_is_cosigned_and_published(self, engine: OpenChain) -> None:
        chain = await engine()
        await chain.advance()
        assert published(chain).header == chain.genesis


class TestBlocks:
    async def test_make_entries_final_in_the_order_they_came(
        self, engine: OpenChain, store: Store, clock: Clock
    ) -> None:
        chain = await engine()
        await hand_in(store, *ENTRIES)
        clock.next_slot()
        assert await chain.advance()
        found = await store.entries.of([entry.hash for entry in ENTRIES])
        assert [found[entry.hash].index for entry in ENTRIES] == list(range(1, len(ENTRIES) + 1))
        assert {record.height for record in found.values()} == {1}
        assert published(chain).header.log_root == expected_root(chain, *ENTRIES)

    async def test_wait_for_their_slot(self, engine: OpenChain, store: Store, clock: Clock) -> None:
        chain = await engine()
        await hand_in(store, *ENTRIES)
        assert not await chain.advance()
        assert chain.seconds_to_next_block == 1.0
        clock.next_slot()
        assert await chain.advance()

    async def test_are_made_for_a_reason_or_as_a_heartbeat(self, engine: OpenChain, clock: Clock) -> None:
        chain = await engine()
        clock.next_slot()
        assert not await chain.advance()
        clock.now = START_MS + HEARTBEAT_MS
        assert await chain.advance()
        header = published(chain).header
        assert (header.height, header.transaction_count, header.log_size) == (1, 0, 1)

    async def test_continue_the_state_of_earlier_ones(
        self, engine: OpenChain, store: Store, clock: Clock
    ) -> None:
        chain = await engine()
        for entry in ENTRIES:
            await hand_in(store, entry)
            clock.next_slot()
            assert await chain.advance()
        assert await states(store, *ENTRIES) == ["final"] * len(ENTRIES)
        assert chain.final.height == len(ENTRIES)
        assert chain.final.log_root == expected_root(chain, *ENTRIES)

    async def test_leave_out_what_the_rules_refuse_and_say_why(
        self, engine: OpenChain, store: Store, clock: Clock
    ) -> None:
        chain = await engine()
        await hand_in(store, ENTRIES[1])
        clock.next_slot()
        assert not await chain.advance()
        refused = await store.entries.get(ENTRIES[1].hash)
        assert refused is not None
        assert refused.state == "refused"
        assert refused.reason is not None
        assert "is not registered" in refused.reason

    async def test_take_a_refused_entry_that_is_handed_in_again_once_it_fits(
        self, engine: OpenChain, store: Store, clock: Clock
    ) -> None:
        chain = await engine()
        await hand_in(store, ENTRIES[1])
        clock.next_slot()
        await chain.advance()
        await hand_in(store, ENTRIES[0], ENTRIES[1])
        assert await chain.advance()
        assert await states(store, *ENTRIES[:2]) == ["final", "final"]

    async def test_hold_an_entry_once_however_often_it_is_handed_in(
        self, engine: OpenChain, store: Store, clock: Clock
    ) -> None:
        chain = await engine()
        await asyncio.gather(*(hand_in(store, *ENTRIES) for _ in range(5)))
        for _ in range(3):
            clock.next_slot()
            await chain.advance()
            await hand_in(store, *ENTRIES)
        assert len(chain.log) == 1 + len(ENTRIES)

    async def test_never_take_an_entry_that_was_altered_in_the_database(
        self, engine: OpenChain, store: Store, database: Database, clock: Clock
    ) -> None:
        chain = await engine()
        await hand_in(store, ENTRIES[0])
        other = Signer("other").registration().data.decode()
        await database["entries"].update_one({"_id": ENTRIES[0].hash}, {"$set": {"envelope": other}})
        clock.next_slot()
        assert not await chain.advance()
        assert await states(store, ENTRIES[0]) == ["refused"]


class TestAClockThatIsSet:
    async def test_back_by_an_hour_holds_nothing_up_and_times_still_grow(
        self, engine: OpenChain, store: Store, clock: Clock
    ) -> None:
        chain = await engine()
        clock.next_slot()
        clock.ahead_ms = -HOUR_MS
        times = [chain.tip.time_ms]
        for entry in ENTRIES:
            await hand_in(store, entry)
            assert await chain.advance()
            assert chain.seconds_to_next_block == BLOCK_MS / 1000
            assert not await chain.advance()
            clock.next_slot()
            times.append(chain.tip.time_ms)
        assert times == [times[0] + number for number in range(len(times))]
        assert await states(store, *ENTRIES) == ["final"] * len(ENTRIES)
        assert chain.clock_behind_seconds == pytest.approx(HOUR_MS / 1000, abs=10)

    async def test_back_by_an_hour_before_a_restart_holds_nothing_up_either(
        self, engine: OpenChain, store: Store, clock: Clock
    ) -> None:
        await (await engine()).advance()
        clock.ahead_ms = -HOUR_MS
        chain = await engine()
        await hand_in(store, ENTRIES[0])
        assert chain.seconds_to_next_block == BLOCK_MS / 1000
        clock.next_slot()
        assert await chain.advance()
        assert await states(store, ENTRIES[0]) == ["final"]

    async def test_on_by_an_hour_and_back_leaves_one_block_in_the_future(
        self, engine: OpenChain, store: Store, clock: Clock
    ) -> None:
        chain = await engine()
        clock.next_slot()
        clock.ahead_ms = HOUR_MS
        await hand_in(store, ENTRIES[0])
        assert await chain.advance()
        assert chain.tip.time_ms == START_MS + BLOCK_MS + HOUR_MS
        clock.ahead_ms = 0
        clock.next_slot()
        await hand_in(store, ENTRIES[1])
        assert await chain.advance()
        assert chain.tip.time_ms == START_MS + BLOCK_MS + HOUR_MS + 1

    async def test_back_does_not_keep_heartbeats_away(self, engine: OpenChain, clock: Clock) -> None:
        chain = await engine()
        clock.ahead_ms = -HOUR_MS
        clock.now += HEARTBEAT_MS - 1
        assert not await chain.advance()
        clock.now += 1
        assert await chain.advance()


class TestSeveralValidators:
    NAMES = ("ann", "bob", "cid", "dot")

    async def test_need_three_of_four_votes_and_three_of_four_cosignatures(
        self, engine: OpenChain, store: Store, clock: Clock
    ) -> None:
        ann, bob, cid, _ = [await engine(name, among=self.NAMES) for name in self.NAMES]
        await hand_in(store, *ENTRIES)
        clock.next_slot()
        assert not await ann.advance()
        assert not await bob.advance()
        assert await states(store, ENTRIES[0]) == ["pending"]
        assert await cid.advance()
        assert await states(store, ENTRIES[0]) == ["final"]
        assert cid.published is None or cid.published.header.height == 0
        assert await ann.advance()
        assert await bob.advance()
        assert published(bob).header == cid.final
        note = checkpoint.parse_note(published(bob).note)
        assert {item.name for item in note.signatures} == {"ann", "bob", "cid"}
