"""Exchanges with a service that behaves well, and with those that don't, over real sockets."""

import asyncio
import socket
import ssl
import time
from typing import Any

import pytest

from lucid.dev.servers import free_port
from lucid.gateway.upstream.breaker import BreakerRule
from lucid.gateway.upstream.requests import Patience, UpstreamRequest
from lucid.gateway.upstream.upstream import Rules, Upstream
from lucid.kit.errors import Invalid
from lucid.kit.settings import SettingsError
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
