"""Limiters of several workers on one real Redis: exact together, and on their own while it is away."""

import asyncio
import time
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from lucid.dev import servers
from lucid.dev.processes import Processes
from lucid.gateway.limits import limiter as module
from lucid.gateway.limits.adaptive import Pressure
from lucid.gateway.limits.ledger import Ledger
from lucid.gateway.limits.limiter import Limiter
from lucid.gateway.limits.tiers import Tier
from lucid.kit.errors import Code, Limited
from tests.gateway.limits.sites import connection, tier, worker

pytestmark = pytest.mark.quiet


async def admitted(limiter: Limiter, kind: Tier, requests: int, key: str = "key", cost: int = 1) -> int:
    """How many of so many requests, one after the other, are admitted."""
    return sum([(await limiter.admit(kind, key, cost)).admitted for _ in range(requests)])


async def everything_back(limiter: Limiter, kind: Tier, capacity: int) -> None:
    """Waits until all tokens can be had again by one request."""
    async with asyncio.timeout(5):
        while not (await limiter.admit(kind, "key", capacity)).admitted:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.05)


class TestOneWorker:
    async def test_admits_the_capacity_and_then_refuses(self, redis_url: str) -> None:
        kind = tier(50)
        async with worker(redis_url) as limiter:
            verdicts = [await limiter.admit(kind, "key") for _ in range(60)]
        assert [verdict.admitted for verdict in verdicts] == [True] * 50 + [False] * 10
        assert [verdict.remaining for verdict in verdicts] == [*range(49, -1, -1), *[0] * 10]
        assert {verdict.retry_after for verdict in verdicts[:50]} == {0}

    async def test_says_when_the_next_one_may_come_and_keeps_its_word(self, redis_url: str) -> None:
        kind = tier(5, rate=2.0)
        async with worker(redis_url) as limiter:
            assert await admitted(limiter, kind, 5) == 5
            refused = await limiter.admit(kind, "key")
            assert (refused.admitted, refused.retry_after) == (False, 1)
            await asyncio.sleep(refused.retry_after)
            assert (await limiter.admit(kind, "key")).admitted

    async def test_does_not_count_what_it_refuses(self, redis_url: str) -> None:
        kind = tier(10, rate=2.0)
        async with worker(redis_url) as limiter:
            begin = time.monotonic()
            assert await admitted(limiter, kind, 500) == 10
            await asyncio.sleep(1.1)
            later = await admitted(limiter, kind, 500)
            assert 2 <= later <= 2 * (time.monotonic() - begin)

    async def test_judges_keys_apart(self, redis_url: str) -> None:
        kind = tier(3)
        async with worker(redis_url) as limiter:
            assert await asyncio.gather(*(admitted(limiter, kind, 5, key) for key in "abc")) == [3, 3, 3]

    async def test_asks_once_for_all_that_wait(self, redis_url: str) -> None:
        kind = tier(1000)
        async with worker(redis_url) as limiter, connection(redis_url) as redis:
            before = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
            verdicts = await asyncio.gather(*(limiter.admit(kind, "key") for _ in range(200)))
            calls = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"] - before
        assert all(verdict.admitted for verdict in verdicts)
        assert calls == 1

    async def test_asks_seldom_for_a_busy_key(self, redis_url: str) -> None:
        kind = tier(100_000)
        async with worker(redis_url) as limiter, connection(redis_url) as redis:
            before = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
            assert await admitted(limiter, kind, 5000) == 5000
            calls = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"] - before
        assert calls < 100

    async def test_keeps_a_lease_that_came_for_those_who_ask_meanwhile(self, redis_url: str) -> None:
        kind = tier(1_000_000)

        async def keeps_asking(limiter: Limiter) -> int:
            found = 0
            for _ in range(150):
                found += (await limiter.admit(kind, "key")).admitted
                await asyncio.sleep(0.001)  # others come between two of one caller
            return found

        async with worker(redis_url) as limiter, connection(redis_url) as redis:
            before = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
            found = await asyncio.gather(*(keeps_asking(limiter) for _ in range(64)))
            calls = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"] - before
        assert found == [150] * 64
        assert calls < 40

    async def test_goes_on_when_a_caller_leaves_while_it_waits(self, redis_url: str) -> None:
        kind = tier(3)
        async with worker(redis_url) as limiter:
            leaving = asyncio.ensure_future(limiter.admit(kind, "key"))
            await asyncio.sleep(0)
            leaving.cancel()
            assert await admitted(limiter, kind, 5) == 3

    async def test_lets_a_small_request_have_what_a_large_one_could_not_use(self, redis_url: str) -> None:
        kind = tier(5)
        async with worker(redis_url) as limiter:
            verdicts = await asyncio.gather(*(limiter.admit(kind, "key", cost) for cost in (6, 3, 2, 1)))
        assert [verdict.admitted for verdict in verdicts] == [False, True, True, False]

    async def test_has_no_limits_where_they_are_off(self, redis_url: str) -> None:
        async with worker(redis_url) as limiter:
            assert await admitted(limiter, tier(1, limited=False), 5) == 5
            assert await limiter.spend(tier(1, limited=False), "key", 100) == 0.0

    async def test_forgets_keys_beyond_its_bound_and_gives_back_what_they_held(
        self, redis_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "MOST_KEYS", 10)
        kind = tier(1000)
        async with worker(redis_url) as limiter:
            assert await admitted(limiter, kind, 300) == 300
            for i in range(30):
                await limiter.admit(kind, f"other {i}")
            assert len(limiter._leases) == 10
            await everything_back(limiter, kind, 700)


class TestSeveralWorkers:
    async def test_together_admit_exactly_the_capacity(self, redis_url: str) -> None:
        kind = tier(777)
        async with worker(redis_url) as one, worker(redis_url) as two, worker(redis_url) as three:
            counts = await asyncio.gather(
                *(admitted(limiter, kind, 200) for limiter in (one, two, three) for _ in range(4))
            )
        assert sum(counts) == 777

    async def test_never_admit_more_than_capacity_and_refill_in_any_stretch_of_time(
        self, redis_url: str
    ) -> None:
        kind, moments = tier(40, rate=100.0), list[float]()

        async def ask(limiter: Limiter, until: float) -> None:
            while time.monotonic() < until:
                if (await limiter.admit(kind, "key")).admitted:
                    moments.append(time.monotonic())
                await asyncio.sleep(0)

        async with worker(redis_url) as one, worker(redis_url) as two:
            until = time.monotonic() + 1.5
            await asyncio.gather(*(ask(limiter, until) for limiter in (one, two) for _ in range(3)))
            # A rest, in which the bucket fills; then as many as there are, at once.
            await asyncio.sleep(1.0)
            until = time.monotonic() + 0.5
            await asyncio.gather(*(ask(limiter, until) for limiter in (one, two) for _ in range(3)))
        # Seen here a little after they were granted, hence 0.1 s more.
        most = max(
            j - i + 1 - (40 + 100 * (moments[j] - moments[i] + 0.1))
            for i in range(len(moments))
            for j in range(i, len(moments))
        )
        assert most <= 0
        assert len(moments) > 40 + 150 * 0.8

    async def test_can_use_what_another_did_not(self, redis_url: str) -> None:
        kind = tier(1000)
        async with worker(redis_url) as one, worker(redis_url) as two:
            assert await admitted(one, kind, 300) == 300
            begin = time.monotonic()
            await everything_back(two, kind, 700)
            assert time.monotonic() - begin < 2

    async def test_get_back_at_once_what_one_held_that_stops(self, redis_url: str) -> None:
        kind = tier(1000)
        async with worker(redis_url) as stays:
            async with worker(redis_url) as stops:
                assert await admitted(stops, kind, 300) == 300
            assert (await stays.admit(kind, "key", 700)).admitted

    async def test_get_back_what_one_refunded(self, redis_url: str) -> None:
        kind = tier(10)
        async with worker(redis_url) as one, worker(redis_url) as two:
            assert await admitted(one, kind, 10) == 10
            one.refund(kind, "key", 4)
            await everything_back(two, kind, 4)
            assert not (await two.admit(kind, "key")).admitted


class TestBandwidth:
    async def test_goes_on_within_the_burst_then_pauses_for_the_debt(self, redis_url: str) -> None:
        kind = tier(1000, rate=1000.0, patience=5.0)
        async with worker(redis_url) as limiter:
            assert await limiter.spend(kind, "session", 900) == 0.0
            assert 0.3 < await limiter.spend(kind, "session", 500) <= 0.4

    async def test_comes_to_the_rate_when_pauses_are_kept(self, redis_url: str) -> None:
        kind = tier(10_000, rate=100_000.0, patience=5.0)

        async def transfer(limiter: Limiter, pieces: int) -> None:
            for _ in range(pieces):
                await asyncio.sleep(await limiter.spend(kind, "session", 1000))

        begin = time.monotonic()
        async with worker(redis_url) as one, worker(redis_url) as two:
            await asyncio.gather(transfer(one, 50), transfer(two, 50), transfer(two, 50))
        # 150 kB at 100 kB a second, of which 10 kB at once
        assert 1.35 < time.monotonic() - begin < 2.7

    async def test_is_refused_where_patience_ends(self, redis_url: str) -> None:
        kind = tier(1000, rate=100.0, patience=5.0)
        async with worker(redis_url) as limiter:
            assert await limiter.spend(kind, "session", 1400) > 0
            with pytest.raises(Limited) as refused:
                await limiter.spend(kind, "session", 400)
        assert refused.value.code is Code.BANDWIDTH
        assert refused.value.details["retry_after"] == 3


class TestAdaptive:
    async def test_a_request_to_a_struggling_upstream_takes_more(
        self, redis_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = time.monotonic()
        kind = tier(100)
        async with worker(redis_url, pressure=Pressure(1.0)) as limiter:
            for second in range(10):
                with monkeypatch.context() as clock:
                    clock.setattr(time, "monotonic", lambda moment=now - 10 + second: moment)
                    for _ in range(10):
                        limiter.observe("slow", 5.0, False)
            assert sum([(await limiter.admit(kind, "a", upstream="slow")).admitted for _ in range(20)]) == 10
            assert (
                sum([(await limiter.admit(kind, "b", upstream="good")).admitted for _ in range(200)]) == 100
            )


class TestWithoutRedis:
    async def test_each_worker_has_the_full_limit_and_nobody_waits(self) -> None:
        url = servers.redis_url(servers.free_port())
        kind = tier(50)
        async with worker(url) as one, worker(url) as two:
            begin = time.monotonic()
            counts = await asyncio.gather(*(admitted(limiter, kind, 100) for limiter in (one, two)))
            assert counts == [50, 50]
            assert await one.spend(tier(10), "key", 5) == 0.0
            assert time.monotonic() - begin < 2
            assert REGISTRY.get_sample_value("lucid_rate_limit_local") == 1

    async def test_limits_are_shared_again_once_it_is_back(
        self, processes: Processes, tmp_path: Path
    ) -> None:
        port, kind = servers.free_port(), tier(50)
        url = servers.redis_url(port)
        server = servers.start_redis(processes, tmp_path / "data", tmp_path / "log", port)
        async with worker(url, seconds=0.2) as one, worker(url, seconds=0.2) as two:
            assert await admitted(one, kind, 100) == 50
            server.kill()
            begin = time.monotonic()
            counts = [await admitted(limiter, kind, 100, "another key") for limiter in (one, two)]
            assert counts == [50, 50]
            # Refused a moment ago by the buckets that were shared.
            assert (await one.admit(kind, "key")).admitted
            assert time.monotonic() - begin < 5
            assert REGISTRY.get_sample_value("lucid_rate_limit_local") == 1
            server = servers.start_redis(processes, tmp_path / "data", tmp_path / "log", port)
            async with asyncio.timeout(10):
                while not (one._shared and two._shared):  # noqa: ASYNC110 - nothing tells of it
                    await asyncio.sleep(0.05)
            assert REGISTRY.get_sample_value("lucid_rate_limit_local") == 0
            assert all(lease.local is None for lease in one._leases.values())
            assert await admitted(one, kind, 30) + await admitted(two, kind, 30) == 50
        server.kill()

    async def test_one_that_hangs_holds_up_a_request_once_and_briefly(
        self, processes: Processes, tmp_path: Path
    ) -> None:
        port, kind = servers.free_port(), tier(5000)
        server = servers.start_redis(processes, tmp_path / "data", tmp_path / "log", port)
        async with (
            worker(servers.redis_url(port), seconds=0.1) as limiter,
            Redis(port=port, single_connection_client=True) as redis,
        ):
            assert (await limiter.admit(kind, "key")).admitted
            await redis.client_pause(3000)
            waits = []
            for i in range(50):
                begin = time.monotonic()
                assert (await limiter.admit(kind, f"key {i}")).admitted
                waits.append(time.monotonic() - begin)
            assert max(waits) > 0.09
            assert sum(waits) < 2.5  # half of what they would wait if each did
        server.kill()

    async def test_nobody_waits_for_ever_when_the_limiter_itself_fails(
        self, redis_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def broken(*_: object) -> None:
            raise ZeroDivisionError("not foreseen")

        kind = tier(5)
        async with worker(redis_url) as limiter:
            monkeypatch.setattr(Ledger, "exchange", broken)
            async with asyncio.timeout(2):
                assert await admitted(limiter, kind, 10) == 5
            monkeypatch.undo()
