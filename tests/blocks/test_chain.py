"""The life of blocks on a real MongoDB: made, voted on, final; found again after every kind of stop."""

import asyncio
from dataclasses import replace

import msgspec
import pytest

from lucid.blocks.chain import Chain, ChainError, Published, open_chain
from lucid.blocks.entries import LogEntry
from lucid.blocks.store import BlockRecord, Store
from lucid.blocks.validator import ForkError
from lucid.evidence import block, checkpoint, merkle
from lucid.kit.mongo import Database
from tests.blocks.conftest import BLOCK_MS, HEARTBEAT_MS, Clock, OpenChain
from tests.blocks.world import START_MS, Signer, recording, session_id

RECORDER = Signer("recorder")
SESSION = session_id(1)
HOUR_MS = 3_600_000
ENTRIES = [RECORDER.registration(), *recording(RECORDER, SESSION)]


async def hand_in(store: Store, *entries: LogEntry) -> None:
    await store.entries.add("0" * 64, entries, START_MS)


async def states(store: Store, *entries: LogEntry) -> list[str]:
    found = await store.entries.of([entry.hash for entry in entries])
    return [found[entry.hash].state for entry in entries]


def expected_root(chain: Chain, *entries: LogEntry) -> str:
    hashes = [chain.genesis.log_root, *(entry.hash for entry in entries)]
    return merkle.root(bytes.fromhex(each) for each in hashes).hex()


def published(chain: Chain) -> Published:
    """The published checkpoint, after checking it as an outsider would."""
    found = chain.published
    assert found is not None
    note = checkpoint.parse_note(found.note)
    assert note.body == checkpoint.body(found.header)
    assert len(checkpoint.verify_cosignatures(note, chain.plan.validators).times) >= 1
    return found


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


class TestRestart:
    @pytest.mark.parametrize(
        "stopped_after", ["nothing", "proposed", "voted", "accepted", "half final", "final", "cosigned"]
    )
    async def test_after_any_step_goes_on_to_the_same_block(
        self, engine: OpenChain, store: Store, clock: Clock, stopped_after: str
    ) -> None:
        chain = await engine()
        await chain.advance()
        await hand_in(store, *ENTRIES)
        clock.next_slot()
        await self.run_until(chain, store, stopped_after)
        proposed = await store.block(1)
        restarted = await engine()
        await restarted.advance()
        assert published(restarted).header.height == 1
        assert proposed is None or restarted.final == proposed.header
        assert restarted.final.log_root == expected_root(restarted, *ENTRIES)
        assert len((await store.votes([1]))[1]) == len(await store.cosignatures(1)) == 1
        assert await states(store, *ENTRIES) == ["final"] * len(ENTRIES)
        again = await engine()
        assert (again.final, again.published) == (restarted.final, restarted.published)

    @staticmethod
    async def run_until(chain: Chain, store: Store, step: str) -> None:
        if step == "nothing":
            return
        record = await chain._propose()
        assert record is not None
        if step == "proposed":
            return
        if step == "voted":
            vote = chain._validator.vote(record.header, "accept")
            await store.add_vote(1, chain._validator.key_id, vote)
            return
        if step in {"accepted", "half final"}:
            before, after = await chain._execute(record)
            assert after is not None
            assert await chain._vote(record.header, "accept") == "accept"
            await store.accept(record, before, after)
            if step == "half final":
                await store.entries.finalise(record.entries[:2], before.log.size, 1)
            return
        settled = await chain._settle(record)
        assert settled is not None
        assert settled.state == "final"
        if step == "cosigned":
            chain._adopt(settled)
            line = chain._validator.cosign(chain.final, chain.log, START_MS // 1000)
            await store.add_cosignature(1, chain._validator.key_id, line)

    async def test_finds_a_missing_log_entry(
        self, engine: OpenChain, store: Store, database: Database, clock: Clock
    ) -> None:
        await self.sealed(engine, store, clock)
        await database["entries"].delete_one({"index": 2})
        with pytest.raises(ChainError, match="log entry 2 is missing"):
            await engine()

    async def test_finds_exchanged_log_entries(
        self, engine: OpenChain, store: Store, database: Database, clock: Clock
    ) -> None:
        await self.sealed(engine, store, clock)
        for old, new in ((1, 99), (2, 1), (99, 2)):
            await database["entries"].update_one({"index": old}, {"$set": {"index": new}})
        with pytest.raises(ChainError, match="not the one that block 1 commits to"):
            await engine()

    async def test_on_an_older_database_is_refused(
        self, engine: OpenChain, store: Store, database: Database, clock: Clock
    ) -> None:
        await self.sealed(engine, store, clock)
        await database["blocks"].delete_one({"_id": 1})
        with pytest.raises(ForkError, match="does not extend"):
            await engine()

    async def test_on_an_empty_database_is_refused(
        self, engine: OpenChain, store: Store, database: Database, clock: Clock
    ) -> None:
        await self.sealed(engine, store, clock)
        await database.client.drop_database(database.name)
        with pytest.raises(ForkError, match="MongoDB holds no chain"):
            await engine()

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"origin": "another.example/log"}, "CHAIN_ORIGIN"),
            ({"block_time_ms": 7000}, "BLOCK_TIME_SECONDS: 7"),
            ({"validators": (checkpoint.Cosigner("another", b"k" * 32),)}, "VALIDATOR_NAME"),
        ],
    )
    async def test_with_settings_of_another_chain_is_refused(
        self, engine: OpenChain, store: Store, change: dict[str, object], named: str
    ) -> None:
        chain = await engine()
        other = replace(chain.plan, **change)  # type: ignore[arg-type]  # the fields named above
        with pytest.raises(ChainError, match=named):
            await open_chain(store, chain._validator, other)

    @staticmethod
    async def sealed(engine: OpenChain, store: Store, clock: Clock) -> Chain:
        chain = await engine()
        await hand_in(store, *ENTRIES)
        clock.next_slot()
        assert await chain.advance()
        return chain


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
