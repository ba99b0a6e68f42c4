"""The shared buckets in a real Redis: what the script takes, gives back and keeps."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError  # noqa: A004 - its name

from lucid.dev import servers
from lucid.dev.processes import Processes
from lucid.gateway.limits.lease import LEASE_SECONDS, Answer, Ask
from lucid.gateway.limits.ledger import Ledger, Stock
from lucid.gateway.limits.script import LEAST_SHARE
from lucid.gateway.limits.tiers import Tier
from tests.gateway.limits.sites import PATIENT_SECONDS, connection, tier

pytestmark = pytest.mark.quiet


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with connection(redis_url) as made:
        yield made


@pytest.fixture
async def ledger(redis: Redis) -> Ledger:
    made = Ledger(redis, PATIENT_SECONDS)
    await made.prepare()
    return made


async def ask(ledger: Ledger, kind: Tier, **figures: int) -> Answer:
    [answer] = await ledger.exchange([Ask(kind, "key", **({"need": 0} | figures))])
    return answer


async def take(ledger: Ledger, kind: Tier, need: int = 0, more: int = 0, back: int = 0) -> tuple[int, float]:
    """Tokens granted, and those left."""
    answer = await ask(ledger, kind, need=need, more=more, back=back)
    return answer.granted, answer.left


class TestTaking:
    async def test_grants_what_is_needed_while_there_is_any(self, ledger: Ledger) -> None:
        kind = tier(5)
        assert await take(ledger, kind, 3) == (3, 2.0)
        assert await take(ledger, kind, 3) == (2, 0.0)
        assert await take(ledger, kind, 3) == (0, 0.0)

    async def test_grants_more_only_as_a_small_share_of_what_is_left(self, ledger: Ledger) -> None:
        kind = tier(10 * LEAST_SHARE + 1)
        assert await take(ledger, kind, 1, more=1000) == (11, 10 * LEAST_SHARE - 10.0)
        assert await take(ledger, kind, 1, more=2) == (3, 10 * LEAST_SHARE - 13.0)

    async def test_gives_the_last_ones_one_by_one(self, ledger: Ledger) -> None:
        kind = tier(LEAST_SHARE)
        assert [(await take(ledger, kind, 1, more=1000))[0] for _ in range(LEAST_SHARE)] == [1] * LEAST_SHARE

    async def test_one_key_or_tier_is_not_another(self, ledger: Ledger) -> None:
        kind = tier(5)
        asks = [Ask(kind, key, 5) for key in ("a", "b", "a:b")] + [Ask(tier(5), "a", 5)]
        assert [answer.granted for answer in await ledger.exchange(asks)] == [5, 5, 5, 5]

    async def test_lets_bytes_be_owed_for_so_long_and_grants_no_part(self, ledger: Ledger) -> None:
        kind = tier(10, rate=1.0, patience=20.0)
        granted, left = await take(ledger, kind, 25)
        assert (granted, round(left)) == (25, -15)
        assert (await take(ledger, kind, 10))[0] == 0
        assert (await take(ledger, kind, 4))[0] == 4


class TestRefill:
    async def test_comes_at_the_rate(self, ledger: Ledger) -> None:
        kind = tier(100, rate=50.0)
        begin = time.monotonic()
        await take(ledger, kind, 100)
        await asyncio.sleep(0.5)
        asked = time.monotonic()
        granted, _ = await take(ledger, kind, 100)
        assert 50 * (asked - begin) - 1 <= granted <= 50 * (time.monotonic() - begin) + 1

    async def test_never_fills_behind_a_lease_until_that_is_settled(self, ledger: Ledger) -> None:
        kind = tier(100, rate=10_000.0)
        leased = await ask(ledger, kind, need=4, more=100)
        assert leased.granted == 10
        await asyncio.sleep(0.1)
        assert (await take(ledger, kind))[1] == 94.0
        assert (await ask(ledger, kind, settled=6, second=leased.second)).left == 94.0
        await asyncio.sleep(0.1)
        assert (await take(ledger, kind))[1] == 100.0

    async def test_forgets_a_lease_that_nobody_settles_once_it_is_over(self, ledger: Ledger) -> None:
        kind = tier(100, rate=10_000.0)
        await take(ledger, kind, 4, more=100)
        await asyncio.sleep(LEASE_SECONDS / 2)
        assert (await take(ledger, kind))[1] == 94.0
        await asyncio.sleep(2.1 - LEASE_SECONDS / 2)
        assert (await take(ledger, kind))[1] == 100.0

    async def test_is_not_sped_up_by_settling_what_was_long_forgotten(self, ledger: Ledger) -> None:
        kind = tier(100, rate=10_000.0)
        old = await ask(ledger, kind, need=1, more=100)
        await asyncio.sleep(2.1)
        await ask(ledger, kind, need=1, more=100)
        await ask(ledger, kind, settled=6, second=old.second)
        await asyncio.sleep(0.1)
        assert (await take(ledger, kind))[1] == 94.0


class TestGivingBack:
    async def test_puts_them_back(self, ledger: Ledger) -> None:
        kind = tier(10)
        await take(ledger, kind, 8)
        assert await take(ledger, kind, 5, back=4) == (5, 1.0)

    async def test_never_fills_above_the_capacity(self, ledger: Ledger) -> None:
        assert await take(ledger, tier(10), back=1000) == (0, 10.0)


class TestKeeping:
    async def test_every_bucket_expires_when_it_is_full(self, ledger: Ledger, redis: Redis) -> None:
        kind = tier(100, rate=10.0)
        await take(ledger, kind, 100)
        assert 14_000 < await redis.pttl(f"lucid:limits:{kind.name}:key") <= 15_000

    async def test_one_that_never_refills_expires_a_day_after_its_use(
        self, ledger: Ledger, redis: Redis
    ) -> None:
        kind = tier(100)
        await take(ledger, kind, 100)
        assert 86_390_000 < await redis.pttl(f"lucid:limits:{kind.name}:key") <= 86_400_000

    async def test_a_smaller_capacity_holds_at_once(self, ledger: Ledger) -> None:
        large = tier(100)
        await take(ledger, large, 1)
        small = Tier(name=large.name, capacity=5, rate=0.0, keyed_by=large.keyed_by)
        assert await take(ledger, small, 100) == (5, 0.0)


class TestInspection:
    async def test_goes_through_the_keys_of_one_tier_in_order(self, ledger: Ledger) -> None:
        kind, other = tier(10), tier(10)
        keys = [f"user:{i:03}" for i in range(25)]
        await ledger.exchange([Ask(each, key, 4) for key in keys for each in (kind, other)])
        first = await ledger.keys(kind, "", 20)
        rest = await ledger.keys(kind, first[-1], 20)
        assert [*first, *rest] == keys
        assert await ledger.keys(kind, rest[-1], 20) == []

    async def test_shows_what_is_there_at_this_moment(self, ledger: Ledger) -> None:
        kind = tier(10, rate=10.0)
        await ledger.exchange([Ask(kind, "a", 8), Ask(kind, "b", 1)])
        await asyncio.sleep(0.3)
        a, b = await ledger.look(kind, ["a", "unknown", "b"])
        assert (a.key, b) == ("a", Stock("b", 10.0))
        assert 4.9 < a.tokens < 10.0

    async def test_reset_makes_a_bucket_full(self, ledger: Ledger) -> None:
        kind = tier(10)
        await take(ledger, kind, 10)
        await ledger.reset(kind, "key")
        await ledger.reset(kind, "unknown")
        assert await take(ledger, kind, 10) == (10, 0.0)


class TestFailures:
    async def test_a_redis_that_has_lost_the_script_gets_it_again(self, ledger: Ledger, redis: Redis) -> None:
        kind = tier(10)
        await take(ledger, kind, 1)
        await redis.script_flush()
        assert await take(ledger, kind, 1) == (1, 8.0)

    async def test_a_question_whose_answer_is_lost_is_not_asked_again(
        self, ledger: Ledger, redis_url: str
    ) -> None:
        kind, port = tier(10), int(redis_url.rsplit(":", 1)[1].removesuffix("/0"))

        async def lose(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            """Passes on what comes and what is answered, but ends with the first answer of a bucket."""
            to_redis = await asyncio.open_connection("127.0.0.1", port)
            while question := await reader.read(65536):
                to_redis[1].write(question)
                answer = await to_redis[0].read(65536)
                if b"EVALSHA" in question:
                    break
                writer.write(answer)
            for each in (writer, to_redis[1]):
                each.close()

        server = await asyncio.start_server(lose, "127.0.0.1", 0)
        async with server, connection(servers.redis_url(server.sockets[0].getsockname()[1])) as redis:
            redis.set_retry(Retry(NoBackoff(), 3))  # as clients may be set up
            lossy = Ledger(redis, PATIENT_SECONDS)
            await lossy.prepare()
            with pytest.raises(ConnectionError):
                await take(lossy, kind, 1)
        assert (await take(ledger, kind))[1] == 9.0

    async def test_one_that_does_not_answer_is_given_up_in_time(
        self, processes: Processes, tmp_path: Path
    ) -> None:
        port = servers.free_port()
        server = servers.start_redis(processes, tmp_path / "data", tmp_path / "log", port)
        async with connection(servers.redis_url(port)) as redis:
            ledger = Ledger(redis, 0.1)
            await ledger.prepare()
            await redis.client_pause(2000)
            begin = time.monotonic()
            with pytest.raises(TimeoutError):
                await take(ledger, tier(10), 1)
            assert 0.1 <= time.monotonic() - begin < 1.5
        server.kill()
