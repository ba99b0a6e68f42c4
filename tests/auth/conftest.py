"""An empty `lucid.users` for each test, and a deployment to run auth-service in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from tests.auth.live import Deployment, make_certificates


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One throwaway authority's certificates, for all tests here."""
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def no_users(mongodb_url: str) -> Iterator[None]:
    """The service's own database without accounts, before and after."""
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        client["lucid"]["users"].delete_many({})
        yield
        client["lucid"]["users"].delete_many({})


@pytest.fixture
def deployment(
    tmp_path: Path, certificates: Path, mongodb_url: str, no_users: None, monkeypatch: pytest.MonkeyPatch
) -> Deployment:
    """Certificates, credentials and environment of one machine; nothing runs yet."""
    made = Deployment(tmp_path, certificates, mongodb_url)
    made.enter(monkeypatch)
    return made
