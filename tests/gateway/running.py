"""api-gateway as it runs on a host, under gunicorn, with services behind it that note what reaches them."""

import asyncio
import contextlib
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from lucid import catalog
from lucid.kit.tls import TlsConfig, server_context
from tests.auth.live import Deployment, inherited
from tests.kit.worker_process import PASS_SOCKETS, ROOT, listening

GATEWAY = "api-gateway"
SERVE = f"from lucid.kit import launch; launch.run({GATEWAY!r})"
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


class Gateway:
    """A running gateway: where it listens, what it logs, and the memory of its workers."""

    def __init__(self, process: asyncio.subprocess.Process, ports: dict[str, int], log: Path) -> None:
        self.process = process
        self.ports = ports
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def workers(self) -> list[int]:
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    @property
    def memory(self) -> int:
        """What its workers hold together, bytes (VmRSS)."""
        return sum(_resident(pid) for pid in self.workers)


def _resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:"))


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
    """Runs the gateway as its unit would, on sockets held for it; returns when it answers."""
    names = [listen.name for listen in catalog.load().services[GATEWAY].listen]
    sockets = {name: listening(deployment.ports[GATEWAY] if name == "https" else 0) for name in names}
    fds = [each.fileno() for each in sockets.values()]
    environment = inherited() | deployment.environment | {
        "PYTHONPATH": str(ROOT),
        "STATE_DIRECTORY": str(deployment.directory / GATEWAY),
        "DRAIN_SECONDS": "0.2",
        "LOG_LEVEL": "WARNING",
        "LISTEN_FDS": str(len(fds)),
        "LISTEN_FDNAMES": ":".join(sockets),
    } | settings  # fmt: skip
    log = deployment.directory / f"{GATEWAY}.log"
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PASS_SOCKETS, ",".join(map(str, fds)), "-c", SERVE,
            env=environment, pass_fds=fds, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    gateway = Gateway(process, {name: each.getsockname()[1] for name, each in sockets.items()}, log)
    try:
        await _answers(gateway)
        yield gateway
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        for each in sockets.values():
            each.close()


async def _answers(gateway: Gateway) -> None:
    """Returns when all workers answer: connections wait in the sockets' queues until then."""
    wanted = catalog.load().services[GATEWAY].workers
    async with asyncio.timeout(30):
        while len(gateway.workers) < wanted:
            assert gateway.process.returncode is None, gateway.log
            await asyncio.sleep(0.05)
        for _ in range(2 * wanted):
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.ports["http"])
            writer.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert b"alive" in await reader.read(), gateway.log
            writer.close()
            await writer.wait_closed()
