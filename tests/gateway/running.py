"""api-gateway as it runs on a host, under gunicorn, with services behind it that note what reaches them."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

from lucid.kit.tls import TlsConfig, server_context
from tests.auth.live import Deployment
from tests.gateway.units import Unit as Gateway

__all__ = ["GATEWAY", "Gateway", "Recorder", "recording", "running"]

GATEWAY = "api-gateway"
OF_ITS_OWN = (b"/health/ready", b"/auth/revocations", b"/auth/.well-known/")
"""What the gateway asks for by itself."""
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Recorder:
    """A service that answers `{}` to everything and notes what is passed on to it, byte by byte."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.strange: list[bytes] = []
        """What came and is no request as the gateway writes them."""
        self._tasks = set[asyncio.Task[None]]()

    @property
    def targets(self) -> list[str]:
        """The targets of all requests, in order."""
        return [head.split(b" ")[1].decode() for head in self.heads]

    def forget(self) -> None:
        self.heads.clear()
        self.bodies.clear()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.create_task(self._serve(reader, writer)))

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.lower().split(b"\r\n")
                lengths = [
                    int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:")
                ]
                if len(lengths) > 1 or any(line.startswith(b"transfer-encoding") for line in lines):
                    self.strange.append(head)
                body = await reader.readexactly(lengths[0]) if lengths else b""
                if not head.split(b" ")[1].startswith(OF_ITS_OWN):
                    self.heads.append(head)
                    self.bodies.append(body)
                writer.write(ANSWER)
        except asyncio.IncompleteReadError as end:
            if end.partial:
                self.strange.append(end.partial)
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.transport.abort()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()


@asynccontextmanager
async def recording(deployment: Deployment, names: Iterable[str]) -> AsyncIterator[Recorder]:
    """One recorder in place of all these services."""
    recorder = Recorder()
    async with AsyncExitStack() as stack:
        for name in names:
            config = TlsConfig(
                deployment.tls / f"{name}.crt",
                deployment.tls / f"{name}.key",
                deployment.tls / "ca.crt",
                "mutual",
            )
            server = await asyncio.start_server(
                recorder.accept, "127.0.0.1", deployment.ports[name], ssl=server_context(config)
            )
            stack.callback(server.close)
        stack.push_async_callback(recorder.end)
        yield recorder


@asynccontextmanager
async def running(deployment: Deployment, **settings: str) -> AsyncIterator[Gateway]:
    """Runs the gateway as its unit would, on sockets held for it; returns when all its workers listen."""
    gateway = Gateway(
        deployment,
        GATEWAY,
        ports={"https": deployment.ports[GATEWAY]},
        settings={"DRAIN_SECONDS": "0.2"} | settings,
    )
    try:
        await gateway.start()
        yield gateway
    finally:
        await gateway.close()
