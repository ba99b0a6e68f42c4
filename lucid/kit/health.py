"""Health: what is up, how long it took to find out, and whether traffic should come here.

/health          every dependency with its measured time; 503 when one that is needed is down
/health/live     the process answers
/health/ready    may be given traffic: dependencies are up and it is not draining
/health/startup  has finished starting
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec
from aiohttp import web

from lucid import __version__
from lucid.kit.client import ServiceClient
from lucid.kit.draining import DRAINING
from lucid.kit.requests import expectation
from lucid.kit.routes import NOTHING, Nothing, Route
from lucid.kit.tasks import TASKS

CHECK_SECONDS = 2.0


class Check(msgspec.Struct, frozen=True):
    """The state of one dependency."""

    status: Literal["up", "down"]
    milliseconds: float
    needed: bool
    error: str | None = None


class Health(msgspec.Struct, frozen=True):
    """The state of a service. `degraded`: it works, but not with everything it should have."""

    status: Literal["healthy", "degraded", "unhealthy"]
    service: str
    version: str
    uptime_seconds: float
    draining: bool
    dependencies: dict[str, Check]
    failing_tasks: dict[str, str]


class Checks:
    """The dependencies of a service and how to ask them."""

    def __init__(self, service: str) -> None:
        self.service = service
        self._started = time.monotonic()
        self._checks: dict[str, tuple[Callable[[], Awaitable[object]], bool]] = {}

    def add(self, name: str, check: Callable[[], Awaitable[object]], *, needed: bool = True) -> None:
        """`check` raises when the dependency is down. Without a needed one the service is not ready."""
        self._checks[name] = (check, needed)

    async def run(self, app: web.Application) -> Health:
        """Asks every dependency at once, each for at most two seconds."""
        names = list(self._checks)
        results = await asyncio.gather(*(self._measure(*self._checks[name]) for name in names))
        found = dict(zip(names, results, strict=True))
        failing = app[TASKS].failing
        if any(check.needed and check.status == "down" for check in found.values()):
            status: Literal["healthy", "degraded", "unhealthy"] = "unhealthy"
        elif failing or any(check.status == "down" for check in found.values()):
            status = "degraded"
        else:
            status = "healthy"
        uptime = round(time.monotonic() - self._started, 3)
        return Health(status, self.service, __version__, uptime, app[DRAINING].active, found, failing)

    @staticmethod
    async def _measure(check: Callable[[], Awaitable[object]], needed: bool) -> Check:
        begin = time.perf_counter()
        error = None
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await check()
        except TimeoutError:
            error = f"no answer within {CHECK_SECONDS:g} s"
        except Exception as failure:  # noqa: BLE001 - whatever a driver raises means "down"
            error = f"{type(failure).__name__}: {failure}"[:300]
        milliseconds = round((time.perf_counter() - begin) * 1000, 2)
        return Check("down" if error else "up", milliseconds, needed, error)


async def ask(client: ServiceClient, service: str) -> None:
    """A check that another service answers, whatever it says of its own dependencies. Raises LucidError."""
    alive = Route(service, "GET", "/health/live", Nothing, Nothing, Nothing, "Whether it answers")
    await client.call(alive, NOTHING, seconds=CHECK_SECONDS)


CHECKS = web.AppKey("checks", Checks)


def _answer(value: object, status: int) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


async def health(request: web.Request) -> web.Response:
    """GET /health."""
    report = await request.app[CHECKS].run(request.app)
    return _answer(report, 503 if report.status == "unhealthy" else 200)


async def live(_: web.Request) -> web.Response:
    """GET /health/live."""
    return _answer({"status": "alive"}, 200)


async def ready(request: web.Request) -> web.Response:
    """GET /health/ready."""
    report = await request.app[CHECKS].run(request.app)
    is_ready = report.status != "unhealthy" and not report.draining
    reason = "draining" if report.draining else report.status
    return _answer(
        {"status": "ready" if is_ready else "not ready", "reason": reason}, 200 if is_ready else 503
    )


async def startup(_: web.Request) -> web.Response:
    """GET /health/startup. Sockets open only after start-up, so an answer means that it is done."""
    return _answer({"status": "started"}, 200)


ROUTES = (
    web.get("/health", health, expect_handler=expectation),
    web.get("/health/live", live, expect_handler=expectation),
    web.get("/health/ready", ready, expect_handler=expectation),
    web.get("/health/startup", startup, expect_handler=expectation),
)
