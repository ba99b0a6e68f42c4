"""Callers that misbehave: they announce a chunk over real mutual TLS and do not send it as they should."""

import asyncio
import ssl
from dataclasses import dataclass

from lucid.contracts import session_storage as storage
from lucid.kit.tls import internal_name
from tests.faults.chunks import SealedChunk

PATH = "/sessions/{0.session}/tracks/{0.track}/chunks/{0.index}?sequence={0.sequence}"


@dataclass(frozen=True)
class Caller:
    """A connection to session-storage, on which the head of a PUT has been sent."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def announce(cls, port: int, context: ssl.SSLContext, chunk: SealedChunk) -> "Caller":
        """Connects as whoever the context's certificate names, and sends the head."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname=internal_name(storage.SERVICE)
        )
        head = [
            f"PUT {PATH.format(chunk.params)} HTTP/1.1",
            "Host: storage",
            f"Content-Length: {len(chunk.data)}",
            *(f"{name}: {value}" for name, value in chunk.headers.items()),
        ]
        writer.write("\r\n".join([*head, "", ""]).encode())
        return cls(reader, writer)

    async def send(self, data: bytes) -> None:
        """A part of the body."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, seconds: float = 20) -> bytes:
        """Head and body of the answer."""
        async with asyncio.timeout(seconds):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            )
            return head + await self.reader.readexactly(length)

    def cut(self) -> None:
        """Ends the connection as a broken cable does: nothing is said."""
        self.writer.transport.abort()
