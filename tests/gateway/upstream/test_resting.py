"""A service that fails is rested, and a replica that does is left out, over real sockets."""

import asyncio
import time

import pytest

from lucid.dev.servers import free_port
from lucid.gateway.upstream.balancing import EjectionRule
from lucid.gateway.upstream.breaker import BreakerRule
from lucid.gateway.upstream.upstream import Rules, Upstream
from lucid.kit.errors import Unavailable
from tests.gateway.upstream.scripted import (
    GET,
    OK,
    PATIENCE,
    POST,
    Script,
    Scripted,
    answering,
    asked,
    refusal,
    scripted,
    upstream,
)

pytestmark = pytest.mark.quiet


class TestBreaker:
    async def test_opens_after_five_failures_and_asks_no_more(self) -> None:
        async with scripted(answering(b"junk\r\n\r\n")) as running, upstream(running.url) as service:
            for _ in range(5):
                assert await refusal(service, POST) == "5003"
            with pytest.raises(Unavailable) as raised:
                await asked(service)
            assert raised.value.code.label == "LUCID_ERR_5007"
            assert 58 <= raised.value.details["retry_after"] <= 60
            assert len(running.heads) == 5

    async def test_recovers_when_the_service_does(self) -> None:
        rules = Rules(BreakerRule(failures=2, seconds=0.1, successes=2))
        port = free_port()
        async with upstream(f"http://127.0.0.1:{port}", rules=rules) as service:
            assert [await refusal(service, POST) for _ in range(3)] == ["5008", "5008", "5007"]
            await asyncio.sleep(0.12)
            assert service.state() == "half-open"
            async with scripted(answering(OK), port) as running:
                assert [await asked(service), await asked(service)] == [b"ok", b"ok"]
                assert service.state() == "closed"
                assert len(running.heads) == 2

    async def test_answers_that_break_off_count_too(self) -> None:
        cut = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegin"
        async with scripted(answering(cut, close=True)) as running, upstream(running.url) as service:
            assert [await refusal(service) for _ in range(6)] == ["5003"] * 5 + ["5007"]

    async def test_a_status_is_an_answer_whatever_it_is(self) -> None:
        answer = b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno"
        async with scripted(answering(answer)) as running, upstream(running.url) as service:
            for _ in range(10):
                assert await asked(service) == b"no"
            assert service.state() == "closed"

    async def test_a_status_that_is_said_to_be_a_failure_is_passed_on_and_counts(self) -> None:
        answer = b"HTTP/1.1 503 Oh\r\nContent-Length: 2\r\n\r\nno"
        rules = Rules(failing=frozenset({503}))
        async with (
            scripted(answering(answer)) as running,
            upstream(running.url, rules=rules) as service,
        ):
            assert [await asked(service) for _ in range(5)] == [b"no"] * 5
            assert await refusal(service) == "5007"
            assert len(running.heads) == 5

    async def test_questions_past_it_neither_open_nor_close_it(self) -> None:
        rules = Rules(BreakerRule(failures=2, seconds=60), failing=frozenset({503}))
        status = 503

        def make(running: Scripted) -> Script:
            async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
                while True:
                    await running.head(reader)
                    writer.write(b"HTTP/1.1 %d Oh\r\nContent-Length: 2\r\n\r\nno" % status)

            return script

        async def past(service: Upstream) -> None:
            answer = await service.ask(GET, PATIENCE, guarded=False)
            await answer.read()
            answer.release()

        async with scripted(make) as running, upstream(running.url, rules=rules) as service:
            for _ in range(5):
                await past(service)
            assert service.state() == "closed"
            assert await asked(service) == b"no"
            status = 200
            await past(service)
            status = 503
            assert await asked(service) == b"no"
            assert service.state() == "open"


class TestReplicas:
    async def test_that_answer_with_a_failing_status_are_left_out(self) -> None:
        rules = Rules(ejection=EjectionRule(failures=3, seconds=60), failing=frozenset({500}))
        failing = b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno"
        async with (
            scripted(answering(OK)) as good,
            scripted(answering(failing)) as bad,
            upstream(good.url, bad.url, rules=rules) as service,
        ):
            answers = [await asked(service) for _ in range(40)]
            assert answers.count(b"no") == len(bad.heads) == 3
            out = {each.authority: each.out_seconds(time.monotonic()) for each in service.replicas}
            assert out[f"127.0.0.1:{good.port}"] == 0
            assert 50 < out[f"127.0.0.1:{bad.port}"] <= 60

    async def test_share_what_is_asked_and_one_that_fails_is_left_out(self) -> None:
        rules = Rules(ejection=EjectionRule(failures=3, seconds=60))
        async with (
            scripted(answering(OK)) as one,
            scripted(answering(OK)) as two,
            scripted(answering(b"", close=True)) as bad,
            upstream(one.url, two.url, bad.url, rules=rules) as service,
        ):
            for _ in range(60):
                assert await asked(service) == b"ok"
            assert abs(len(one.heads) - len(two.heads)) < 10
            assert len(bad.heads) == 3

    async def test_a_slow_one_gets_fewer(self) -> None:
        def make(running: Scripted) -> Script:
            async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
                while True:
                    await running.head(reader)
                    await asyncio.sleep(0.1)
                    writer.write(OK)

            return script

        async def client(service: Upstream) -> None:
            for _ in range(25):
                await asked(service)

        async with (
            scripted(answering(OK)) as quick,
            scripted(make) as slow,
            upstream(quick.url, slow.url) as service,
        ):
            await asyncio.gather(*(client(service) for _ in range(4)))
            assert len(quick.heads) > 3 * len(slow.heads) > 0
