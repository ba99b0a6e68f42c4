"""Real servers for tests: started when the first test asks, ended with the run. Nothing here is a mock."""

import asyncio
import os
import socket
import traceback
import uuid
from asyncio import selector_events
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient, pool_shared
from pymongo.asynchronous import pool

from lucid.dev import servers
from lucid.dev.processes import Processes
from tests.cli.command import RunningStack, start_stack
from tests.lanes import pytest_collection_modifyitems, pytest_runtest_protocol, pytest_xdist_make_scheduler

__all__ = ["pytest_collection_modifyitems", "pytest_runtest_protocol", "pytest_xdist_make_scheduler"]

# Tests run beside a stack that is in use, and beside each other: on ports of their own, with a quick chain.
# Steps of 200 keep the ports of two stacks apart; the highest stay below those of outgoing connections.
_lane = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_run = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
os.environ["LUCID_PORT_OFFSET"] = str(1000 + 200 * ((2 * _run + _lane) % 24))
os.environ |= {"BLOCK_TIME_SECONDS": "1", "ANCHOR_INTERVAL_SECONDS": "3"}


@pytest.fixture(scope="session")
def processes() -> Iterator[Processes]:
    """Programs that end with the test run, even if it is killed."""
    with Processes() as running:
        yield running


@pytest.fixture(scope="session", autouse=True)
def _given_up_connects_leave_no_sockets() -> Iterator[None]:
    """A client closed while one of its monitors connects leaves a socket open (pymongo 4.20).

    Python closes it a moment later, and warns, which would fail whichever test comes next.
    """
    connect, configure = pool_shared._async_create_connection, pool_shared._configured_protocol_interface

    def closing(opens: Any) -> Any:
        async def opened_or_closed(*arguments: Any) -> Any:
            try:
                return await opens(*arguments)
            except asyncio.CancelledError as given_up:
                for frame, _ in traceback.walk_tb(given_up.__traceback__):
                    if isinstance(opened := frame.f_locals.get("sock"), socket.socket):
                        opened.close()
                raise

        return opened_or_closed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool_shared, "_async_create_connection", closing(connect))
        patch.setattr(pool, "_configured_protocol_interface", closing(configure))
        yield


@pytest.fixture(scope="session", autouse=True)
def _late_connections_leave_no_sockets() -> Iterator[None]:
    """A connection that is accepted while its server closes is forgotten with its socket open (CPython 3.11).

    Its server refuses to count it. Services end with their process; those of tests share one.
    """
    begin = selector_events._SelectorTransport.__init__  # type: ignore[attr-defined]

    def begun_or_closed(transport: Any, *given: Any, **named: Any) -> None:
        try:
            begin(transport, *given, **named)
        except AssertionError:
            transport._sock.close()
            transport._sock = None
            raise

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selector_events._SelectorTransport, "__init__", begun_or_closed)  # type: ignore[attr-defined]
        yield


@pytest.fixture(scope="session")
def mongodb_url(processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A real replica set of one member (LUCID_MONGODB_URL if that is set)."""
    if url := os.environ.get("LUCID_MONGODB_URL"):
        return url
    directory: Path = tmp_path_factory.mktemp("mongodb")
    port = servers.free_port()
    servers.start_mongod(processes, directory / "data", directory / "mongod.log", port)
    # A client closed while it fills its pool leaves a socket open (pymongo 4.20), and tests close many.
    return f"{servers.mongodb_url(port)}&minPoolSize=0"


@pytest.fixture
def database_name(mongodb_url: str) -> Iterator[str]:
    """The name of an empty database, dropped after the test."""
    name = f"test_{uuid.uuid4().hex}"
    yield name
    with MongoClient[dict[str, object]](mongodb_url) as client:
        client.drop_database(name)


@pytest.fixture(scope="session")
def redis_url(processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A real Redis (LUCID_REDIS_URL if that is set)."""
    if url := os.environ.get("LUCID_REDIS_URL"):
        return url
    directory: Path = tmp_path_factory.mktemp("redis")
    port = servers.free_port()
    servers.start_redis(processes, directory / "data", directory / "redis.log", port)
    return servers.redis_url(port)


@pytest.fixture(scope="session")
def stack(processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """All of Lucid, as `lucid dev` runs it. One for the whole run: tests must not need it untouched."""
    started = start_stack(processes, tmp_path_factory.mktemp("stack") / "state")
    yield started
    started.stop()
