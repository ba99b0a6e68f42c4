"""A chain on a real MongoDB is found again after every kind of stop, or refused where it was changed."""

from dataclasses import replace

import pytest

from lucid.blocks.chain import Chain, ChainError, open_chain
from lucid.blocks.store import Store
from lucid.blocks.validator import ForkError
from lucid.evidence import checkpoint
from lucid.kit.mongo import Database
from tests.blocks.chains import ENTRIES, expected_root, hand_in, published, states
from tests.blocks.conftest import Clock, OpenChain
from tests.blocks.world import START_MS


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
