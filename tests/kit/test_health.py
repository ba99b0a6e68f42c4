"""The four health endpoints."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from lucid.kit.draining import DRAINING
from lucid.kit.health import CHECKS
from tests.kit import parrot
from tests.kit.live import Asker, House

pytestmark = pytest.mark.quiet


async def fine() -> None:
    await asyncio.sleep(0.02)


async def away() -> None:
    raise OSError("connection refused")


async def hangs() -> None:
    await asyncio.sleep(60)


@pytest.fixture
def service() -> web.Application:
    return parrot.build()


@pytest.fixture
async def observer(house: House, service: web.Application) -> AsyncIterator[Asker]:
    async with house.serve(service, parrot.SERVICE), house.asking("prometheus", parrot.SERVICE) as made:
        yield made


async def get(observer: Asker, path: str) -> tuple[int, dict[str, Any]]:
    async with observer.ask("GET", path) as answer:
        return answer.status, await answer.json()


class TestHealth:
    async def test_measures_each_dependency(self, observer: Asker, service: web.Application) -> None:
        service[CHECKS].add("store", fine)
        status, report = await get(observer, "/health")
        assert (status, report["status"], report["service"]) == (200, "healthy", parrot.SERVICE)
        assert 20 <= report["dependencies"]["store"]["milliseconds"] < 1000

    async def test_is_bad_without_what_is_needed(self, observer: Asker, service: web.Application) -> None:
        service[CHECKS].add("store", away)
        status, report = await get(observer, "/health")
        assert (status, report["status"]) == (503, "unhealthy")
        assert report["dependencies"]["store"]["error"] == "OSError: connection refused"
        assert await get(observer, "/health/ready") == (503, {"status": "not ready", "reason": "unhealthy"})

    async def test_is_degraded_without_the_rest(self, observer: Asker, service: web.Application) -> None:
        service[CHECKS].add("cache", away, needed=False)
        status, report = await get(observer, "/health")
        assert (status, report["status"]) == (200, "degraded")
        assert (await get(observer, "/health/ready"))[0] == 200

    async def test_waits_for_all_at_once_and_not_for_long(
        self, observer: Asker, service: web.Application, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lucid.kit.health.CHECK_SECONDS", 0.5)
        for number in range(5):
            service[CHECKS].add(f"store {number}", hangs)
        async with asyncio.timeout(2.3):
            status, report = await get(observer, "/health")
        assert status == 503
        assert report["dependencies"]["store 0"]["error"] == "no answer within 0.5 s"


class TestReadiness:
    async def test_ends_with_draining_while_the_service_lives(
        self, observer: Asker, service: web.Application
    ) -> None:
        service[CHECKS].add("store", fine)
        assert await get(observer, "/health/ready") == (200, {"status": "ready", "reason": "healthy"})
        service[DRAINING].begin()
        assert await get(observer, "/health/ready") == (503, {"status": "not ready", "reason": "draining"})
        assert (await get(observer, "/health/live"))[0] == 200
        assert (await get(observer, "/health/startup"))[0] == 200
        assert (await get(observer, "/health"))[1]["draining"] is True
