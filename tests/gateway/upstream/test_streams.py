"""Bodies that are long, slow or cut, over real sockets: whoever is quicker waits for the other."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from lucid.gateway.upstream.requests import Patience, UpstreamRequest
from lucid.gateway.upstream.upstream import Answer
from lucid.kit.errors import Conflict
from tests.gateway.upstream.scripted import (
    GET,
    OK,
    PATIENCE,
    Script,
    Scripted,
    answering,
    asked,
    refusal,
    scripted,
    upstream,
)

pytestmark = pytest.mark.quiet


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
