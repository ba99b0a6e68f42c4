"""MongoDB: what is written is safe, and a server that is gone is noticed soon and said plainly."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from prometheus_client import REGISTRY

from lucid.dev import servers
from lucid.dev.processes import Processes
from lucid.kit import mongo
from lucid.kit.app import Call, Handlers, build
from lucid.kit.routes import Nothing
from lucid.kit.settings import SettingsError
from tests.kit import parrot
from tests.kit.live import Asker, House
from tests.kit.parrot import Note, Text

pytestmark = pytest.mark.quiet

KEY = web.AppKey("database", mongo.Database)
handlers = Handlers()


@handlers.on(parrot.NOTE)
async def keep(call: Call, _: Nothing, body: Note) -> Text:
    await call.app[KEY]["notes"].insert_one({"text": body.text})
    return Text(str(await call.app[KEY]["notes"].count_documents({})))


@asynccontextmanager
async def serving(house: House, url: str, name: str) -> AsyncIterator[Asker]:
    service = build(parrot.SERVICE, handlers, resources=[mongo.context(url, name, KEY)])
    async with house.serve(service, parrot.SERVICE), house.asking(parrot.CALLER, parrot.SERVICE) as caller:
        yield caller


class TestADatabase:
    async def test_is_written_with_a_majority_and_its_journal(self, mongodb_url: str) -> None:
        service = build(parrot.SERVICE, handlers, resources=[mongo.context(mongodb_url, "any", KEY)])
        runner = web.AppRunner(service)
        await runner.setup()
        try:
            database = service[KEY]
            assert database.write_concern.document == {"w": "majority", "j": True}
            assert database.read_concern.document == {"level": "majority"}
            assert database.client.options.retry_writes
        finally:
            await runner.cleanup()

    async def test_is_measured(self, house: House, mongodb_url: str, database_name: str) -> None:
        async with serving(house, mongodb_url, database_name) as caller:
            async with caller.ask("POST", "/notes", data=b'{"text": "a"}') as answer:
                assert await answer.json() == {"text": "1"}
            labels = {"command": "insert", "outcome": "ok"}
            assert (REGISTRY.get_sample_value("lucid_db_query_duration_seconds_count", labels) or 0) >= 1
            assert (REGISTRY.get_sample_value("lucid_db_connections_active") or 0) >= 1
        assert REGISTRY.get_sample_value("lucid_db_connections_active") == 0

    def test_whose_address_is_missing_names_the_setting(self) -> None:
        with pytest.raises(SettingsError, match=r"MONGODB_URL: is missing \(MongoDB replica set, for"):
            mongo.context("", "any", KEY)


async def test_a_server_that_is_gone_is_noticed_within_seconds_and_told_from_the_callers_fault(
    house: House, processes: Processes, tmp_path: Path
) -> None:
    port = servers.free_port()
    server = servers.start_mongod(processes, tmp_path / "data", tmp_path / "log", port)
    async with serving(house, servers.mongodb_url(port), "kit") as caller:
        async with caller.ask("GET", "/health") as answer:
            report = await answer.json()
        assert (answer.status, report["status"]) == (200, "healthy")
        assert report["dependencies"]["mongodb"]["status"] == "up"
        assert 0 < report["dependencies"]["mongodb"]["milliseconds"] < 2000
        server.kill()

        async def health() -> tuple[int, dict[str, object]]:
            async with caller.ask("GET", "/health") as answer:
                return answer.status, (await answer.json())["dependencies"]["mongodb"]

        begin = time.monotonic()
        async with caller.ask("GET", "/health/live") as answer:
            assert answer.status == 200
        route, (status, check), ready = await asyncio.gather(
            caller.outcome("POST", "/notes", data=b'{"text": "a"}'),
            health(),
            status_of(caller, "/health/ready"),
        )
        assert route == (503, "5002")
        assert time.monotonic() - begin < 5.5
        assert (status, check["status"], ready) == (503, "down", 503)
        assert isinstance(check["milliseconds"], float)
        assert check["milliseconds"] <= 2500
        assert check["error"]


async def status_of(caller: Asker, path: str) -> int:
    async with caller.ask("GET", path) as answer:
        return answer.status
