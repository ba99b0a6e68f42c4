"""The database servers: started, kept over a restart, refused where they cannot work."""

import time
from pathlib import Path

import pytest
from pymongo import MongoClient
from redis import Redis

from lucid.dev import servers
from lucid.dev.errors import StackError
from lucid.dev.processes import Processes


class TestMongod:
    def test_takes_majority_writes_in_transactions(self, mongodb_url: str, database_name: str) -> None:
        with MongoClient[dict[str, object]](mongodb_url, w="majority", journal=True) as client:
            with client.start_session() as session, session.start_transaction():
                client[database_name]["things"].insert_one({"_id": 1}, session=session)
            assert client[database_name]["things"].count_documents({}) == 1

    def test_keeps_its_data_over_a_restart(self, processes: Processes, tmp_path: Path) -> None:
        port = servers.free_port()
        first = servers.start_mongod(processes, tmp_path / "data", tmp_path / "log", port)
        with MongoClient[dict[str, object]](servers.mongodb_url(port)) as client:
            client["kept"]["things"].insert_one({"_id": 1})
        begin = time.monotonic()
        first.stop()
        assert first.status == 0
        assert time.monotonic() - begin < 10
        second = servers.start_mongod(processes, tmp_path / "data", tmp_path / "log", port)
        with MongoClient[dict[str, object]](servers.mongodb_url(port)) as client:
            assert client["kept"]["things"].count_documents({}) == 1
        second.stop()

    def test_is_not_started_on_a_port_that_is_taken(
        self, processes: Processes, mongodb_url: str, tmp_path: Path
    ) -> None:
        taken = int(mongodb_url.rpartition(":")[2].partition("/")[0])
        with pytest.raises(StackError, match=f"mongodb: port {taken} of 127.0.0.1 cannot be used"):
            servers.start_mongod(processes, tmp_path / "data", tmp_path / "log", taken)

    def test_that_cannot_start_shows_the_end_of_its_log(self, processes: Processes, tmp_path: Path) -> None:
        data = tmp_path / "data"
        data.mkdir()
        (data / "storage.bson").write_bytes(b"damaged")
        with pytest.raises(
            StackError, match=r"(?s)mongodb ended with status .*log:\n.*storage engine metadata"
        ):
            servers.start_mongod(processes, data, tmp_path / "log", servers.free_port())


class TestRedis:
    def test_answers_and_never_evicts(self, redis_url: str) -> None:
        with Redis.from_url(redis_url) as client:
            assert client.ping()
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
