"""An empty database of auth-service for each test, and a deployment to run auth-service in."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from pymongo import MongoClient

from lucid import catalog
from lucid.auth import passwords, service
from lucid.contracts import auth_service as contract
from tests.auth.desk import Desk
from tests.auth.live import Deployment, make_certificates


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One throwaway authority's certificates, for all tests here."""
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def no_users(mongodb_url: str) -> Iterator[None]:
    """The service's own collections without accounts and all that belongs to them, before and after."""
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        _empty(client)
        yield
        _empty(client)


def _empty(client: MongoClient[dict[str, Any]]) -> None:
    for name in catalog.load().services["auth-service"].collections:
        client["lucid"][name].delete_many({})


@pytest.fixture
def deployment(
    tmp_path: Path, certificates: Path, mongodb_url: str, no_users: None, monkeypatch: pytest.MonkeyPatch
) -> Deployment:
    """Certificates, credentials and environment of one machine; nothing runs yet."""
    made = Deployment(tmp_path, certificates, mongodb_url)
    made.enter(monkeypatch)
    return made


@pytest.fixture
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2id with its smallest figures, where not the hash is what a test is about."""
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", hasher)


@pytest.fixture
async def desk(deployment: Deployment, quick_hashes: None) -> AsyncIterator[Desk]:
    """A door to auth-service, through api-gateway's certificate."""
    async with deployment.serve(await service.create()):
        calls = deployment.calls("api-gateway", [contract.SERVICE])
        yield Desk(calls)
        await calls.close()
