"""Services under the very roles that a site's MongoDB gives them: each gets along, and no further."""

import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from lucid import catalog
from lucid.contracts import auth_service as auth
from lucid.contracts import session_api as contract
from lucid.contracts import session_pipeline as pipeline
from lucid.contracts.session_access import BundleQuery
from lucid.contracts.types import SessionPath
from lucid.deploy import plan
from lucid.dev import servers
from lucid.dev.processes import Processes
from lucid.kit.mongo import Document
from lucid.kit.routes import NOTHING
from plugins.module_utils.lucid_replica_rules import role_changes, role_of
from tests.deployment import DATABASES, Deployment
from tests.sessions.kept import SERVICES, keep
from tests.sessions.people import administrator, person
from tests.sessions.waiting import until

UNAUTHORIZED = 13
QUICK = {"BLOCK_TIME_SECONDS": "0.1", "ANCHOR_POLL_SECONDS": "0.05"}
USERS = plan.database_users(catalog.load())
AS_ANSIBLE_HAS_THEM: list[dict[str, Any]] = [
    {"name": user.name, "database": user.database, "collections": list(user.collections)} for user in USERS
]


class Guarded:
    """A MongoDB that asks for a login: each service is a user of its own. `url` is the administrator's."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._passwords = {name: secrets.token_hex(16) for name in ("root", *(user.name for user in USERS))}
        self.url = self.url_of("root")

    def url_of(self, name: str) -> str:
        at = f"127.0.0.1:{self._port}"
        login = f"{name}:{self._passwords[name]}@" if name in self._passwords else ""
        return f"mongodb://{login}{at}/?replicaSet={servers.REPLICA_SET}&authSource=admin&minPoolSize=0"

    def set_up(self) -> None:
        """The set, its administrator, and roles and users as the Ansible module makes them."""
        member = {"_id": 0, "host": f"127.0.0.1:{self._port}"}
        with MongoClient[Document]("127.0.0.1", self._port, directConnection=True) as client:
            config = {"_id": servers.REPLICA_SET, "members": [member]}
            client.admin.command("replSetInitiate", config)
            while not client.admin.command("hello").get("isWritablePrimary"):
                time.sleep(0.05)
            client.admin.command("createUser", "root", pwd=self._passwords["root"], roles=["root"])
        before, _ = role_changes([], AS_ANSIBLE_HAS_THEM)
        with MongoClient[Document](self.url) as client:
            for database, command in before:
                client[database].command(command)
            for user in AS_ANSIBLE_HAS_THEM:
                name = user["name"]
                client.admin.command("createUser", name, pwd=self._passwords[name], roles=[role_of(user)])


class Strict(Deployment):
    """Each service logs in as itself."""

    def __init__(self, directory: Path, guarded: Guarded, redis_url: str, **settings: str) -> None:
        super().__init__(directory, guarded.url, redis_url, **settings)
        self._guarded = guarded

    def environment(self, name: str) -> dict[str, str]:
        return super().environment(name) | {"MONGODB_URL": self._guarded.url_of(name)}


@pytest.fixture(scope="module")
def guarded(processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    directory, port = tmp_path_factory.mktemp("guarded"), servers.free_port()
    (directory / "data").mkdir()
    keyfile = directory / "keyfile"
    keyfile.write_text(secrets.token_hex(64))
    keyfile.chmod(0o600)
    command = [*servers.mongod_command(directory / "data", port), "--keyFile", str(keyfile)]
    process = processes.start("mongodb", command, directory / "mongod.log")
    made = Guarded(port)
    made_by = time.monotonic() + 60
    while True:
        try:
            made.set_up()
            break
        except PyMongoError:
            assert process.status is None, process.last_words(20)
            assert time.monotonic() < made_by, process.last_words(20)
            time.sleep(0.1)
    yield made
    process.kill()


async def test_a_session_lives_from_its_first_chunk_to_its_tombstone(
    guarded: Guarded, tmp_path: Path, redis_url: str
) -> None:
    house = Strict(tmp_path, guarded, redis_url, **QUICK)
    try:
        await house.start("auth-service", "blockchain-engine", "session-anchoring", *SERVICES)
        admin, alice = await administrator(house), await person(house, "alice")
        session = await keep(house, alice)
        api = await house.client("session-api")
        await api.call(pipeline.SET_STATE, SessionPath(session), pipeline.SetState("active"))
        with alice.speaking() as client:
            user = (await client.call(auth.ME, NOTHING)).id
            assert len((await client.call(contract.LIST, contract.SessionsQuery())).sessions) == 1
            assert (await client.call(contract.STATISTICS, SessionPath(session))).chunks > 0
            query = BundleQuery(session)
            assert b"".join([piece async for piece in client.stream(contract.BUNDLE, query)])
        with admin.speaking() as client:
            change = auth.ChangeRole(role="admin")
            assert (await client.call(auth.CHANGE_ROLE, auth.UserPath(user), change)).role == "admin"
            await client.call(contract.ERASE, SessionPath(session))

        async def deleted() -> bool:
            return (await admin.get(session)).state == "deleted"

        await until(deleted, 30)
    finally:
        await house.close()
    with MongoClient[Document](guarded.url) as server:
        made = {(name, each) for name in DATABASES for each in server[name].list_collection_names()}
    declared = {(user.database, collection) for user in USERS for collection in user.collections}
    assert made <= declared


def refused(client: MongoClient[Document], database: str, command: dict[str, Any]) -> bool:
    try:
        client[database].command(command)
    except OperationFailure as failure:
        if failure.code != UNAUTHORIZED:
            raise
        return True
    return False


@pytest.mark.parametrize("user", USERS, ids=lambda user: user.name)
def test_a_service_is_refused_what_belongs_to_others(guarded: Guarded, user: plan.DatabaseUser) -> None:
    with MongoClient[Document](guarded.url_of(user.name)) as client:
        for other in USERS:
            for collection in other.collections:
                insert = {"insert": collection, "documents": [{"_id": "probe"}]}
                asked: list[dict[str, Any]] = [{"find": collection}, insert]
                allowed = [not refused(client, other.database, each) for each in asked]
                assert allowed == [other == user] * 2, (other.name, collection)


@pytest.mark.parametrize("user", USERS, ids=lambda user: user.name)
def test_a_service_cannot_delete_or_look_around(guarded: Guarded, user: plan.DatabaseUser) -> None:
    own = user.collections[0]
    with MongoClient[Document](guarded.url_of(user.name)) as client:
        forbidden: list[tuple[str, dict[str, Any]]] = [
            (user.database, {"delete": own, "deletes": [{"q": {}, "limit": 0}]}),
            (user.database, {"drop": own}),
            (user.database, {"dropDatabase": 1}),
            (user.database, {"listCollections": 1}),
            (user.database, {"collMod": own, "validator": {}}),
            (user.database, {"create": "another"}),
            ("admin", {"usersInfo": 1}),
            ("admin", {"replSetGetStatus": 1}),
            ("local", {"find": "oplog.rs"}),
        ]
        for database, command in forbidden:
            assert refused(client, database, command), (database, command)
