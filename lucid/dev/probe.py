"""Asks the stack's processes how they are, the services with the monitoring certificate as on hosts."""

import asyncio
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
import msgspec

from lucid import catalog
from lucid.dev.environment import LOOPBACK
from lucid.kit import tls
from lucid.kit.health import Health

OBSERVER = "prometheus"
SECONDS = 4.0


class Observed(msgspec.Struct, frozen=True):
    """What a process said about itself, and how long that took."""

    status: str
    """healthy, degraded, unhealthy, draining, up (databases) or down."""
    milliseconds: float
    detail: str = ""

    @property
    def ready(self) -> bool:
        return self.status in {"healthy", "degraded", "up"}


DOWN = Observed("down", 0.0)


class Prober:
    """A context; `directory` holds the certificates of `observer`, `local` chooses the column of ports."""

    def __init__(self, directory: Path, observer: str = OBSERVER, *, local: bool = True) -> None:
        self._local = local
        self._context = tls.client_context(
            directory / f"{observer}.crt", directory / f"{observer}.key", directory / "ca.crt"
        )

    async def __aenter__(self) -> Self:
        # No connection is kept: it would hold up a service that stops.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._context, force_close=True),
            timeout=aiohttp.ClientTimeout(total=SECONDS),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def service(self, service: catalog.Service) -> Observed:
        """GET /health, on the plain socket if the service has one."""
        plain = next((item for item in service.listen if item.plain), None)
        listen = plain or service.entry
        port = listen.local_port if self._local else listen.port
        url = f"{'http' if plain else 'https'}://{LOOPBACK}:{port}/health"
        begin = time.perf_counter()
        try:
            async with self._session.get(
                url, server_hostname=None if plain else tls.internal_name(service.name)
            ) as answer:
                health = msgspec.json.decode(await answer.read(), type=Health)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Observed("down", _since(begin), f"{type(error).__name__}: {error}")
        except msgspec.MsgspecError as error:
            return Observed("down", _since(begin), f"{url} gave no health report: {error}")
        return Observed("draining" if health.draining else health.status, _since(begin), _complaints(health))

    @staticmethod
    async def port(port: int) -> Observed:
        """Whether somebody listens there."""
        begin = time.perf_counter()
        try:
            async with asyncio.timeout(SECONDS):
                _, writer = await asyncio.open_connection(LOOPBACK, port)
        except (OSError, TimeoutError) as error:
            return Observed("down", _since(begin), str(error))
        writer.close()
        return Observed("up", _since(begin))


def _since(begin: float) -> float:
    return round((time.perf_counter() - begin) * 1000, 1)


def _complaints(health: Health) -> str:
    down = [f"{name}: {check.error}" for name, check in health.dependencies.items() if check.error]
    return "; ".join(down + [f"{name}: {error}" for name, error in health.failing_tasks.items()])
