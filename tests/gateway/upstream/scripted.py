"""A service that answers just the bytes that a test wants, on a real socket of loopback."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from lucid.gateway.upstream.requests import Patience, UpstreamRequest
from lucid.gateway.upstream.upstream import Rules, Upstream
from lucid.kit.errors import LucidError

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]
"""Told the connection and its number, from 0; the connection is closed when it returns."""
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

GET = UpstreamRequest("GET", "/a?b=c", [("X-Request-ID", "12345678")], idempotent=True)
POST = UpstreamRequest("POST", "/a", [], b"body")
PATIENCE = Patience(connect=1.0, read=0.3, total=5.0)


class Scripted:
    """A running script: its port, and what came in."""

    def __init__(self, script: Script) -> None:
        self.connections = 0
        self.heads: list[bytes] = []
        self._script = script
        self._tasks = set[asyncio.Task[None]]()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def head(self, reader: asyncio.StreamReader) -> bytes:
        """The next request's head, noted. Raises IncompleteReadError at the end of the connection."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        return head

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.create_task(self._serve(reader, writer)))

    async def end(self) -> None:
        """Closes all connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, self.connections = self.connections, self.connections + 1
        try:
            await self._script(reader, writer, number)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def scripted(make: Callable[["Scripted"], Script], port: int = 0) -> AsyncIterator[Scripted]:
    """Runs a script, on any port unless told; `make` is given the running one, for its `head`."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await made(reader, writer, number)

    running = Scripted(script)
    made = make(running)
    server = await asyncio.start_server(running.accept, "127.0.0.1", port)
    running.port = server.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        server.close()
        await running.end()


def answering(answer: bytes, *, close: bool = False) -> Callable[[Scripted], Script]:
    """The same answer to every request."""

    def make(running: Scripted) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
            while True:
                await running.head(reader)
                writer.write(answer)
                await writer.drain()
                if close:
                    return

        return script

    return make


@asynccontextmanager
async def upstream(*urls: str, rules: Rules | None = None) -> AsyncIterator[Upstream]:
    """A service at these addresses, as the gateway sees it."""
    made = Upstream("sample", urls, None, "sample", rules)
    try:
        yield made
    finally:
        made.close()


async def asked(service: Upstream, request: UpstreamRequest = GET, patience: Patience = PATIENCE) -> bytes:
    """The body of the answer, taken to its end."""
    answer = await service.ask(request, patience)
    try:
        return await answer.read()
    finally:
        answer.release()


async def refusal(service: Upstream, request: UpstreamRequest = GET, patience: Patience = PATIENCE) -> str:
    """The code of the error that is answered instead."""
    with pytest.raises(LucidError) as raised:
        await asked(service, request, patience)
    return raised.value.code.label.removeprefix("LUCID_ERR_")
