"""A deployment for the gateway's tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pymongo import MongoClient
from redis.asyncio import Redis

from lucid.gateway.limits.ledger import Ledger
from lucid.gateway.limits.limiter import LIMITER, TIERS, Limiter
from lucid.gateway.limits.settings import LimitSettings
from lucid.gateway.upstream.upstream import Upstream
from lucid.kit import app
from lucid.kit.tls import internal_name
from tests.auth.live import Deployment, make_certificates

UPSTREAM = "session-api"
UNLIMITED = {"RATE_LIMIT_ENABLED": "false", "DDOS_PROTECTION_ENABLED": "false"}
"""For tests of something else than limits: all their requests come from one address."""


def bare_gateway() -> web.Application:
    """The gateway's application without any route, and without limits."""
    gateway = app.build("api-gateway", app.Handlers())
    gateway[TIERS] = LimitSettings(
        state_directory="", tls_directory="", rate_limit_enabled=False, ddos_protection_enabled=False
    ).tiers()
    gateway[LIMITER] = Limiter(Ledger(Redis(), 1.0))
    return gateway


def limited(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """The deployment, with limits as in production once it is told where Redis is."""
    for name in ("REDIS_URL", *UNLIMITED):
        del deployment.environment[name]
        monkeypatch.delenv(name)
    return deployment


def behind(deployment: Deployment, name: str = UPSTREAM) -> Upstream:
    """The service `name` of the deployment, as the gateway sees it."""
    address = f"https://127.0.0.1:{deployment.ports[name]}"
    return Upstream(name, [address], deployment.tls_of("api-gateway"), internal_name(name))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One throwaway authority's certificates, for all tests here."""
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def deployment(
    tmp_path: Path, certificates: Path, mongodb_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Deployment]:
    """Certificates, credentials and environment of one machine without accounts; nothing runs yet."""
    made = Deployment(tmp_path, certificates, mongodb_url)
    made.environment |= {"REDIS_URL": redis_url, **UNLIMITED}
    made.enter(monkeypatch)
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        client["lucid"]["users"].delete_many({})
        yield made
        client["lucid"]["users"].delete_many({})
