"""The limiter of one worker: exact together with all others, and mostly without asking anybody.

A request takes its token from the worker's lease. Where that is used up, the shared bucket in Redis is
asked, in one round trip for all keys and requests that wait at that moment. While Redis cannot be asked
each worker counts for itself, with the full limit, and nobody waits.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import islice

from aiohttp import web
from prometheus_client import Counter, Gauge
from redis.exceptions import RedisError

from lucid.gateway.limits.adaptive import Pressure
from lucid.gateway.limits.lease import Lease
from lucid.gateway.limits.ledger import DATABASE, Ledger
from lucid.gateway.limits.settings import LimitSettings
from lucid.gateway.limits.tiers import Tier, Tiers
from lucid.gateway.limits.verdict import UNLIMITED, Verdict, headers, refusal, too_fast
from lucid.kit import redis
from lucid.kit.logs import log
from lucid.kit.redis import REDIS
from lucid.kit.tasks import TASKS, Tasks

__all__ = ["LEDGER", "LIMITER", "TIERS", "VERDICT", "Limiter", "announce", "context", "headers", "refusal"]

hits_total = Counter("lucid_rate_limit_hits_total", "Requests and transfers refused, by tier.", ["tier"])
buckets = Gauge("lucid_rate_limit_buckets", "Buckets that workers have in mind.", multiprocess_mode="livesum")
local = Gauge(
    "lucid_rate_limit_local",
    "Workers that count for themselves, because Redis cannot be asked.",
    multiprocess_mode="livesum",
)

MOST_KEYS = 20_000
"""Beyond these the key unused for longest is forgotten: no caller can fill the memory."""
BATCH = 200
"""Buckets asked in one round trip: few milliseconds of Redis' time."""
SWEEP_SECONDS = 0.25
IDLE_SECONDS = 5.0
RETRY_SECONDS = 1.0
"""How long Redis is left alone after a failure."""
_FAILURES = (RedisError, OSError, TimeoutError)

_Waiting = tuple[int, "asyncio.Future[tuple[bool, float]]"]
"""What one request needs, and where it waits for: admitted or not, tokens left."""


class Limiter:
    """Judges requests and transfers. `start` runs it; until then, and after `close`, limits are local."""

    def __init__(self, ledger: Ledger, pressure: Pressure | None = None) -> None:
        self._ledger = ledger
        self._pressure = pressure
        self._leases: OrderedDict[tuple[str, str], Lease] = OrderedDict()
        self._asked: dict[Lease, list[_Waiting]] = {}
        self._wake = asyncio.Event()
        self._shared = False

    async def admit(self, tier: Tier, key: str, cost: int = 1, upstream: str | None = None) -> Verdict:
        """Whether a request may go on; a refused one is not counted.

        `upstream` is where it would go: see `lucid.gateway.limits.adaptive`. Never raises for a Redis that is
        away, and never waits for one.
        """
        if not tier.limited:
            return UNLIMITED
        now = time.monotonic()
        weight = 1 if upstream is None else self.weight(upstream)
        needed = cost * weight
        lease = self._lease(tier, key, now)
        if lease.use(needed, now):
            return Verdict(tier, True, lease.standing, needed, weight)
        if self._shared and lease.refuses(needed, now):
            admitted, tokens = False, lease.standing
        else:
            admitted, tokens = await self._take(lease, needed, now)
        if not admitted:
            hits_total.labels(tier.name).inc()
        return Verdict(tier, admitted, tokens, needed, weight)

    def refund(self, tier: Tier, key: str, cost: int = 1) -> None:
        """Gives back what a request took that was then refused by something else."""
        if not tier.limited:
            return
        lease = self._lease(tier, key, time.monotonic())
        if lease.local is not None:
            lease.local.tokens += cost
        else:
            lease.back += cost

    async def spend(self, tier: Tier, key: str, amount: int) -> float:
        """Counts bytes that have come. Returns for how many seconds no more should be read: 0 to go on.

        Raises Limited 3004 where that would be more than the tier's patience; these bytes are not counted.
        """
        if not tier.limited:
            return 0.0
        now = time.monotonic()
        lease = self._lease(tier, key, now)
        if lease.use(amount, now):
            return 0.0
        admitted, tokens = await self._take(lease, amount, now)
        if not admitted:
            hits_total.labels(tier.name).inc()
            raise too_fast(tier, tokens, amount)
        return tier.seconds_until(0.0, tokens)

    @property
    def adaptive(self) -> bool:
        """Whether limits follow how upstreams are doing."""
        return self._pressure is not None

    def observe(self, upstream: str, seconds: float, failed: bool) -> None:
        """Tells of one answer of an upstream, for adaptive limits."""
        if self._pressure is not None:
            self._pressure.observe(upstream, seconds, failed, time.monotonic())

    def weight(self, upstream: str) -> int:
        """For how many a request to `upstream` counts now."""
        return 1 if self._pressure is None else self._pressure.weight(upstream, time.monotonic())

    async def start(self, tasks: Tasks) -> None:
        """Tries to reach Redis once, then runs in the background."""
        with suppress(*_FAILURES):
            await self._connect()
        if not self._shared:
            self._lose("not there at the start")
        tasks.start("rate limits", self._run)
        tasks.start("rate limit leases", self._sweep)

    async def close(self) -> None:
        """Gives back all that is leased. To be called when the background tasks have ended."""
        self._shared = False
        held = [lease for lease in self._leases.values() if lease.tokens or lease.back]
        self._leases.clear()
        with suppress(*_FAILURES):
            for first in range(0, len(held), BATCH):
                now = time.monotonic()
                await self._ledger.exchange([lease.ask(0, now) for lease in held[first : first + BATCH]])
        local.set(0)
        buckets.set(0)

    def _lease(self, tier: Tier, key: str, now: float) -> Lease:
        name = (tier.name, key)
        lease = self._leases.get(name)
        if lease is not None:
            self._leases.move_to_end(name)
            return lease
        lease = self._leases[name] = Lease(tier, key, now)
        if len(self._leases) > MOST_KEYS:
            _, forgotten = self._leases.popitem(last=False)
            forgotten.end()
            if forgotten.back:
                self._ask(forgotten)
        return lease

    async def _take(self, lease: Lease, cost: int, now: float) -> tuple[bool, float]:
        """Whether `cost` could be had from beyond the lease, and what is left."""
        if not self._shared:
            return self._take_locally(lease, cost, now)
        waiting: _Waiting = (cost, asyncio.get_running_loop().create_future())
        self._ask(lease, waiting)
        return await waiting[1]

    @staticmethod
    def _take_locally(lease: Lease, cost: int, now: float) -> tuple[bool, float]:
        bucket = lease.stand_in(now)
        lease.seen = now
        return bucket.take(lease.tier, cost, now), bucket.tokens

    def _ask(self, lease: Lease, *waiting: _Waiting) -> None:
        self._asked.setdefault(lease, []).extend(waiting)
        self._wake.set()

    async def _run(self) -> None:
        """Asks the shared buckets, one round trip after the other."""
        try:
            while True:
                if not self._shared:
                    await asyncio.sleep(RETRY_SECONDS)
                    with suppress(*_FAILURES):
                        await self._connect()
                    continue
                await self._wake.wait()
                self._wake.clear()
                await self._round()
        finally:
            # Whatever ended this, nobody may wait for ever.
            self._shared = False
            self._settle_locally(self._asked)

    async def _round(self) -> None:
        now = time.monotonic()
        asked = self._batch(now)
        if not asked:
            return
        asks = [lease.ask(sum(cost for cost, _ in waiting), now) for lease, waiting in asked.items()]
        try:
            answers = await self._ledger.exchange(asks)
        except BaseException as error:
            self._settle_locally(asked)
            if not isinstance(error, _FAILURES):
                raise
            self._lose(f"{type(error).__name__}: {error}")
            return
        after = time.monotonic()
        for (lease, waiting), answer in zip(asked.items(), answers, strict=True):
            lease.receive(answer, now, after)
            for each in waiting:
                if not _served(lease, each, now):
                    cost, future = each
                    lease.refuse(cost, after)
                    _resolve(future, admitted=False, tokens=lease.standing)
            lease.trim()
            if lease.back:
                self._ask(lease)

    def _batch(self, now: float) -> dict[Lease, list[_Waiting]]:
        """The buckets to be asked next, with those whom what is in hand does not serve."""
        asked = {}
        for lease in list(islice(self._asked, BATCH)):
            # What the last round has brought may do for those who came during it. Then it stays in hand:
            # to ask for nothing would give it back.
            waiting = [each for each in self._asked.pop(lease) if not _served(lease, each, now)]
            if waiting or lease.overdue(now):
                asked[lease] = waiting
        if self._asked:
            self._wake.set()
        return asked

    def _settle_locally(self, asked: dict[Lease, list[_Waiting]]) -> None:
        now = time.monotonic()
        for lease, waiting in asked.items():
            for cost, future in waiting:
                admitted, tokens = self._take_locally(lease, cost, now)
                _resolve(future, admitted=admitted, tokens=tokens)
        asked.clear()

    async def _connect(self) -> None:
        await self._ledger.prepare()
        self._shared = True
        for lease in self._leases.values():
            lease.local = None
        local.set(0)
        log.info("rate limits are shared")

    def _lose(self, error: str) -> None:
        self._shared = False
        self._settle_locally(self._asked)
        local.set(1)
        log.warning("rate limits are local: Redis cannot be asked", error=error)

    async def _sweep(self) -> None:
        """Gives back what was not used in time, and forgets keys that nobody asks for."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            for name, lease in list(self._leases.items()):
                if self._shared and lease.overdue(now):
                    self._ask(lease)
                elif lease.idle(now, IDLE_SECONDS):
                    del self._leases[name]
            buckets.set(len(self._leases))


def _served(lease: Lease, waiting: _Waiting, now: float) -> bool:
    """Whether the lease has what this request needs; if so, the request goes on."""
    cost, future = waiting
    if future.done():  # its caller has gone
        return True
    if not lease.use(cost, now):
        return False
    _resolve(future, admitted=True, tokens=lease.standing)
    return True


def _resolve(future: "asyncio.Future[tuple[bool, float]]", *, admitted: bool, tokens: float) -> None:
    if not future.done():
        future.set_result((admitted, tokens))


LIMITER = web.AppKey("limiter", Limiter)
LEDGER = web.AppKey("ledger", Ledger)
TIERS = web.AppKey("tiers", Tiers)
VERDICT = web.RequestKey("verdict", Verdict)
"""The verdict on a request, for `announce`."""


def context(service: str, found: LimitSettings) -> Callable[[web.Application], AsyncIterator[None]]:
    """A cleanup context that puts a limiter under LIMITER, its ledger and tiers beside it.

    Redis being down degrades the service, no more. Raises as `lucid.kit.redis.context`.
    """
    opened = asynccontextmanager(redis.context(service, found, db=DATABASE))

    async def limits(app: web.Application) -> AsyncIterator[None]:
        async with opened(app):
            ledger = app[LEDGER] = Ledger(app[REDIS], found.rate_limit_redis_seconds)
            pressure = Pressure(found.adaptive_latency_seconds) if found.adaptive_rate_limiting else None
            limiter = app[LIMITER] = Limiter(ledger, pressure)
            app[TIERS] = found.tiers()
            await limiter.start(app[TASKS])
            yield
            await limiter.close()

    return limits


def announce(request: web.Request, response: web.StreamResponse) -> None:
    """Called on every answer: tells the caller how it stands, on refusals too."""
    if verdict := request.get(VERDICT):
        response.headers.update(headers(verdict))
