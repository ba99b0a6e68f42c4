"""Exchanges with a service that behaves well, and with those that don't, over real sockets."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from lucid.dev.servers import free_port
from lucid.gateway.upstream.balancing import EjectionRule
from lucid.gateway.upstream.breaker import BreakerRule
from lucid.gateway.upstream.requests import Patience, UpstreamRequest
from lucid.gateway.upstream.upstream import Answer, Rules, Upstream
from lucid.kit.errors import Conflict, Invalid, LucidError, Unavailable
from lucid.kit.settings import SettingsError
from tests.gateway.upstream.scripted import OK, Script, Scripted, answering, scripted, upstream

pytestmark = pytest.mark.quiet

GET = UpstreamRequest("GET", "/a?b=c", [("X-Request-ID", "12345678")], idempotent=True)
POST = UpstreamRequest("POST", "/a", [], b"body")
PATIENCE = Patience(connect=1.0, read=0.3, total=5.0)


async def asked(service: Upstream, request: UpstreamRequest = GET, patience: Patience = PATIENCE) -> bytes:
    answer = await service.ask(request, patience)
    try:
        return await answer.read()
    finally:
        answer.release()


async def refusal(service: Upstream, request: UpstreamRequest = GET, patience: Patience = PATIENCE) -> str:
    with pytest.raises(LucidError) as raised:
        await asked(service, request, patience)
    return raised.value.code.label.removeprefix("LUCID_ERR_")


class TestExchanges:
    async def test_send_just_what_was_given(self) -> None:
        async with scripted(answering(OK)) as running, upstream(running.url) as service:
            assert await asked(service) == b"ok"
            head = b"GET /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-Request-ID: 12345678\r\n\r\n"
            assert running.heads == [head % running.port]

    async def test_share_a_connection_one_after_the_other(self) -> None:
        async with scripted(answering(OK)) as running, upstream(running.url) as service:
            for _ in range(20):
                assert await asked(service) == b"ok"
            assert running.connections == 1

    async def test_at_the_same_time_have_one_each(self) -> None:
        async with scripted(answering(OK)) as running, upstream(running.url) as service:
            answers = await asyncio.gather(*(asked(service) for _ in range(10)))
            assert answers == [b"ok"] * 10
            assert running.connections == 10

    @pytest.mark.parametrize("value", ["a\r\nB: c", "a\nb", "\x00", "ä", "\x7f"])
    async def test_cannot_carry_a_header_that_is_no_text(self, value: str) -> None:
        async with scripted(answering(OK)) as running, upstream(running.url) as service:
            with pytest.raises(Invalid):
                await service.ask(UpstreamRequest("GET", "/", [("A", value)]), PATIENCE)
            assert await asked(service) == b"ok"
            assert len(running.heads) == 1

    async def test_that_are_not_taken_to_their_end_leave_no_connection(self) -> None:
        async with scripted(answering(OK)) as running, upstream(running.url) as service:
            answer = await service.ask(GET, PATIENCE)
            answer.release()
            assert await asked(service) == b"ok"
            assert running.connections == 2

    async def test_what_a_service_says_unasked_is_never_taken_for_an_answer(self) -> None:
        def make(running: Scripted) -> Script:
            async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
                await running.head(reader)
                writer.write(OK)
                await asyncio.sleep(0.02)
                writer.write(OK.replace(b"ok", b"no"))
                await reader.read()

            return script

        async with scripted(make) as running, upstream(running.url) as service:
            assert await asked(service) == b"ok"
            await asyncio.sleep(0.05)
            assert await asked(service) == b"ok"
            assert running.connections == 2

    @pytest.mark.parametrize("address", ["", "10.0.0.1:80", "ftp://a", "https://", "https://a/path"])
    def test_need_an_address(self, address: str) -> None:
        with pytest.raises(SettingsError):
            Upstream("sample", [address], None, "sample")


class TestFailures:
    async def test_nobody_listens_5008(self) -> None:
        async with upstream(f"http://127.0.0.1:{free_port()}") as service:
            assert await refusal(service) == "5008"

    @pytest.mark.parametrize(
        "answer",
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            b"HTTP/1.1 200 OK\r\n\r\nno end told",
            b"HTTP/1.1 200 O",
            b"nonsense\r\n\r\n",
            b"",
        ],
    )
    async def test_an_answer_that_is_cut_or_makes_no_sense_is_5003(self, answer: bytes) -> None:
        async with scripted(answering(answer, close=True)) as running, upstream(running.url) as service:
            assert await refusal(service, POST) == "5003"

    async def test_silence_before_or_within_an_answer_is_5006(self) -> None:
        for begin in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome"):
            async with scripted(answering(begin)) as running, upstream(running.url) as service:
                start = time.monotonic()
                assert await refusal(service) == "5006"
                assert time.monotonic() - start < 2

    async def test_the_caller_s_own_time_being_over_is_5006_and_no_fault_of_the_service(self) -> None:
        async with scripted(answering(b"")) as running, upstream(running.url) as service:
            for _ in range(10):
                assert await refusal(service, GET, Patience(read=5, total=0.01)) == "5006"
            assert service.state() == "closed"

    async def test_connections_take_none_of_the_time_that_the_caller_does_not_give(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as mute:  # where no handshake is ever answered
            address = f"https://127.0.0.1:{mute.getsockname()[1]}"
            service = Upstream("sample", [address], ssl.create_default_context(), "sample")
            for _ in range(10):
                assert await refusal(service, GET, Patience(connect=5, total=0.02)) == "5006"
            assert service.state() == "closed"
            begin = time.monotonic()
            for _ in range(5):
                assert await refusal(service, GET, Patience(connect=0.2, total=0.3)) == "5008"
            assert time.monotonic() - begin < 5 * 0.9
            assert service.state() == "open"


class TestRetries:
    @staticmethod
    def failing_first(times: int, answer: bytes = b"") -> Any:
        def make(running: Scripted) -> Script:
            async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
                await running.head(reader)
                writer.write(answer if number < times else OK)

            return script

        return make

    async def test_idempotent_requests_are_sent_again_others_are_not(self) -> None:
        async with scripted(self.failing_first(2)) as running, upstream(running.url) as service:
            assert await asked(service) == b"ok"
            assert running.connections == 3
        async with scripted(self.failing_first(1)) as running, upstream(running.url) as service:
            assert await refusal(service, POST) == "5003"
            assert running.connections == 1

    async def test_nothing_is_sent_again_once_part_of_the_answer_is_out(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegin"
        async with scripted(self.failing_first(1, head)) as running, upstream(running.url) as service:
            assert await refusal(service) == "5003"
            assert running.connections == 1

    async def test_what_was_never_sent_may_go_to_another_replica_whatever_it_is(self) -> None:
        down = f"http://127.0.0.1:{free_port()}"
        async with scripted(answering(OK)) as running, upstream(down, running.url) as service:
            for _ in range(10):
                assert await asked(service, POST) == b"ok"
            assert len(running.heads) == 10

    async def test_a_kept_connection_that_has_gone_is_replaced_without_a_failure(self) -> None:
        def make(running: Scripted) -> Script:
            async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
                await running.head(reader)
                writer.write(OK)
                if number == 0:
                    await running.head(reader)  # read, and closed without an answer

            return script

        async with scripted(make) as running, upstream(running.url) as service:
            assert await asked(service) == b"ok"
            assert await asked(service) == b"ok"
            assert running.connections == 2

    async def test_they_stay_within_their_budget(self) -> None:
        rules = Rules(BreakerRule(failures=10_000))
        async with (
            scripted(answering(b"", close=True)) as running,
            upstream(running.url, rules=rules) as service,
        ):
            for _ in range(60):
                assert await refusal(service) == "5003"
            assert running.connections - 60 <= 10 + 60 * 0.2 + 8


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


class TestStreams:
    SIZE = 64 * 1024 * 1024

    @staticmethod
    def source(size: int, taken: list[int]) -> AsyncIterator[bytes]:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(size // 65536):
                taken[0] += 65536
                yield b"x" * 65536

        return pieces()

    async def test_a_download_waits_for_whoever_takes_it(self) -> None:
        sent = 0

        def make(running: Scripted) -> Script:
            async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
                nonlocal sent
                await running.head(reader)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % self.SIZE)
                while sent < self.SIZE:
                    writer.write(b"x" * 65536)
                    await writer.drain()
                    sent += 65536

            return script

        async with scripted(make) as running, upstream(running.url) as service:
            answer = await service.ask(GET, Patience(read=0.3))
            await asyncio.sleep(0.5)  # longer than a service may be silent: this is not its silence
            held = sent
            assert held < self.SIZE / 4
            assert await self.size(answer) == self.SIZE
            answer.release()

    async def test_an_upload_waits_for_a_service_that_takes_its_time(self) -> None:
        begun, received = asyncio.Event(), 0

        def make(running: Scripted) -> Script:
            async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
                nonlocal received
                await running.head(reader)
                await begun.wait()
                while received < self.SIZE:
                    received += len(await reader.read(1024 * 1024))
                writer.write(OK)

            return script

        taken = [0]
        async with scripted(make) as running, upstream(running.url) as service:
            request = UpstreamRequest("PUT", "/", [], self.source(self.SIZE, taken), self.SIZE)
            asking = asyncio.create_task(asked(service, request, Patience(read=5)))
            await asyncio.sleep(0.2)
            assert taken[0] < self.SIZE / 4
            begun.set()
            assert await asking == b"ok"
            assert received == self.SIZE

    async def test_an_upload_of_unknown_length_goes_in_chunks(self) -> None:
        def make(running: Scripted) -> Script:
            async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
                head = await running.head(reader)
                assert b"Transfer-Encoding: chunked" in head
                expected = b"10000\r\n" + b"x" * 65536 + b"\r\n0\r\n\r\n"
                assert await reader.readexactly(len(expected)) == expected
                writer.write(OK)

            return script

        async with scripted(make) as running, upstream(running.url) as service:
            request = UpstreamRequest("PUT", "/", [], self.source(65536, [0]))
            assert await asked(service, request) == b"ok"

    async def test_a_body_that_fails_ends_the_exchange_with_its_own_error(self) -> None:
        async def source() -> AsyncIterator[bytes]:
            yield b"begin"
            raise Conflict("the rest is gone")

        async with scripted(answering(b"")) as running, upstream(running.url) as service:
            with pytest.raises(Conflict, match="the rest is gone"):
                await service.ask(UpstreamRequest("PUT", "/", [], source(), 100), PATIENCE)
            assert service.state() == "closed"

    async def test_a_body_shorter_than_announced_is_never_left_to_be_guessed(self) -> None:
        async with scripted(answering(b"")) as running, upstream(running.url) as service:
            request = UpstreamRequest("PUT", "/", [], self.source(65536, [0]), 65537)
            assert await refusal(service, request) == "5003"

    async def test_an_early_answer_arrives_though_the_upload_goes_on(self) -> None:
        refused = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"
        async with scripted(answering(refused)) as running, upstream(running.url) as service:
            request = UpstreamRequest("PUT", "/", [], self.source(self.SIZE, [0]), self.SIZE)
            assert await asked(service, request, Patience(read=2)) == b"no"
            assert await asked(service) == b"no"
            assert running.connections == 2

    @staticmethod
    async def size(answer: Answer) -> int:
        size = 0
        async for piece in answer.pieces():
            size += len(piece)
        return size
