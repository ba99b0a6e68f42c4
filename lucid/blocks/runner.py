"""Drives the chain in the background: opens it, makes blocks in time, measures."""

import asyncio
from contextlib import suppress

from pymongo.errors import PyMongoError

from lucid.blocks import measures
from lucid.blocks.chain import Chain, Plan, now_ms, open_chain
from lucid.blocks.store import Store
from lucid.blocks.validator import MAX_AHEAD_MS, Validator
from lucid.kit import metrics
from lucid.kit.errors import Code, Unavailable
from lucid.kit.logs import log

RETRY_SECONDS = 0.5


class ChainRunner:
    """Owns the chain of this process."""

    def __init__(self, store: Store, validator: Validator, plan: Plan) -> None:
        self._validator = validator
        self._plan = plan
        self._work = asyncio.Event()
        self._opened = asyncio.Event()
        self._chain: Chain | None = None
        self.store = store

    @property
    def chain(self) -> Chain:
        """The chain; raises Unavailable (4009) until it has been read from MongoDB."""
        if self._chain is None:
            raise Unavailable("the chain is not open yet; try again", code=Code.CHAIN_UNAVAILABLE)
        return self._chain

    async def opened(self, seconds: float) -> None:
        """Waits until there is a chain, for at most so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._opened.wait()

    async def check(self) -> None:
        """Health check: raises while there is no chain to ask."""
        _ = self.chain

    async def check_clock(self) -> None:
        """Health check: raises while this host's clock and the chain's times contradict each other."""
        behind = self.chain.clock_behind_seconds
        if behind > MAX_AHEAD_MS / 1000:
            raise LookupError(
                f"the newest block is {behind:.0f} s ahead of this host's clock: set it right; until it has"
                " caught up, each block is dated one millisecond after the one before"
            )

    def wake(self) -> None:
        """Tell that an entry has come."""
        self._work.set()

    async def unanchored_seconds(self) -> float:
        """Age of the oldest entry that no final block holds, 0 if there is none."""
        oldest = await self.store.entries.oldest_pending_ms()
        return 0.0 if oldest is None else max(0, now_ms() - oldest) / 1000

    async def run(self) -> None:
        """Open the chain and make blocks until cancelled. Without MongoDB it waits and goes on afterwards."""
        while True:
            try:
                if self._chain is None:
                    self._chain = await open_chain(self.store, self._validator, self._plan)
                    self._opened.set()
                await self._next(self._chain)
            except PyMongoError as error:
                log.warning("chain waits for MongoDB", error=f"{type(error).__name__}: {error}")
                await asyncio.sleep(RETRY_SECONDS)

    async def _next(self, chain: Chain) -> None:
        """Advance once, then wait until the next block is due or, if none is needed, an entry comes."""
        self._work.clear()
        settled = await chain.advance()
        measures.height.set(chain.final.height)
        measures.clock_behind_seconds.set(chain.clock_behind_seconds)
        metrics.unanchored_seconds.set(await self.unanchored_seconds())
        if (pause := chain.seconds_to_next_block) > 0:
            await asyncio.sleep(pause)
        elif not settled:
            # Other engines' entries do not wake this one, hence the limit.
            with suppress(TimeoutError):
                async with asyncio.timeout(chain.plan.block_time_ms / 1000):
                    await self._work.wait()
