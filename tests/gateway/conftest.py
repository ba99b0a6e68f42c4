"""A deployment for the gateway's tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from lucid.gateway.upstream.upstream import Upstream
from lucid.kit.tls import internal_name
from tests.auth.live import Deployment, make_certificates

UPSTREAM = "session-api"
UNLIMITED = {"RATE_LIMIT_ENABLED": "false", "DDOS_PROTECTION_ENABLED": "false"}
"""For tests of something else than limits: all their requests come from one address."""


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
