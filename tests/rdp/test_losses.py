"""Hosts that die, managers that die, and managers that see less than others: no port is given twice."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from unittest import mock

import pytest
import pytest_asyncio

from lucid import catalog
from lucid.contracts import rdp_manager as contract
from lucid.contracts import session_controller
from lucid.contracts.types import SessionPath
from lucid.dev.servers import free_port
from lucid.kit.client import ServiceClient
from lucid.kit.errors import LucidError
from lucid.kit.hosts import variable, written
from tests.rdp.manager_site import Person, Site, site
from tests.sessions.waiting import until

LOST_SECONDS = 1.5

pytestmark = [pytest.mark.quiet, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rdp(
    tmp_path_factory: pytest.TempPathFactory, mongodb_url: str, redis_url: str
) -> AsyncIterator[Site]:
    """A site that loses patience quickly; each test leaves its host as it was."""
    settings = {
        "RDP_HOST_LOST_SECONDS": str(LOST_SECONDS),
        "RDP_START_SECONDS": "2",
        "RDP_POLL_SECONDS": "0.2",
    }
    directory = tmp_path_factory.mktemp("site")
    async with site(directory, mongodb_url, redis_url, "rdp1", **settings) as made:
        yield made


@pytest.fixture
def anna(rdp: Site) -> Person:
    return rdp.person()


async def ended(person: Person, session: str) -> contract.RdpSession:
    async def over() -> bool:
        return (await person.get(session)).state == "ended"

    await until(over, 15)
    return await person.get(session)


class TestAHostThatDies:
    async def test_loses_its_desktops_and_has_no_say_when_it_comes_back(
        self, rdp: Site, anna: Person
    ) -> None:
        desk = rdp.hosts["rdp1"]
        first = await anna.open()
        await rdp.down("rdp1")
        await asyncio.sleep(LOST_SECONDS / 2)
        await rdp.up("rdp1")
        await asyncio.sleep(LOST_SECONDS)
        assert (await anna.get(first.session.id)).state == "ready", "it was back in time"
        await rdp.down("rdp1")
        found = await ended(anna, first.session.id)
        assert (found.ending, found.detail) == (
            "host_lost",
            f"rdp1 was not heard of for {LOST_SECONDS:.0f} s",
        )
        assert found.ended_ms is not None
        assert found.ended_ms - found.created_ms >= 1000 * LOST_SECONDS
        await rdp.up("rdp1")

        async def gone() -> bool:
            return desk.sessions[first.session.id].ending == "host_lost"

        await until(gone, 10)
        again = await anna.open()
        assert again.port == first.port
        assert again.session.id in {kept.session for kept in desk.live()}
        assert (await anna.get(first.session.id)) == found

    async def test_leaves_an_end_that_was_asked_for_to_be_done_when_it_is_back(
        self, rdp: Site, anna: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lucid.rdp.ending.END_SECONDS", 0.3)
        told = await anna.open()
        await rdp.down("rdp1")
        asked = await anna.ask(contract.END, SessionPath(told.session.id))
        assert (asked.state, asked.ending) == ("ending", None)
        await rdp.up("rdp1")
        assert (await ended(anna, told.session.id)).ending == "requested"


async def test_a_manager_that_cannot_reach_a_host_does_not_speak_for_those_that_can(
    rdp: Site, anna: Person
) -> None:
    told = await anna.open()
    nowhere = written({"rdp1": f"https://127.0.0.1:{free_port()}"})
    with mock.patch.dict(rdp.house.settings, {variable(session_controller.SERVICE): nowhere}):
        async with rdp.another_manager():
            await asyncio.sleep(2.5 * LOST_SECONDS)
    assert (await anna.get(told.session.id)).state == "ready"


async def test_a_desktop_that_a_killed_manager_had_begun_is_taken_back(rdp: Site, anna: Person) -> None:
    policy, desk = await anna.policy(), rdp.hosts["rdp1"]
    begins = desk.begins
    desk.going.clear()
    async with killable_manager(rdp) as (process, client):
        asked = asyncio.create_task(anna.open(policy, by=client))

        async def begun() -> bool:
            return desk.begins > begins

        await until(begun, 20)
        os.killpg(process.pid, signal.SIGKILL)
        with pytest.raises(LucidError):
            await asked
    (row,) = (await anna.ask(contract.LIST, contract.RdpSessionsQuery())).sessions
    assert row.state == "starting"
    found = await ended(anna, row.id)
    assert (found.ending, found.detail) == ("failed", "whoever started it did not come to an end with it")
    desk.going.set()  # only now the host does what it was asked for

    async def gone() -> bool:
        return desk.sessions[row.id].state == "ended" if row.id in desk.sessions else False

    await until(gone, 10)
    assert (await anna.open(policy)).session.state == "ready"


@contextlib.asynccontextmanager
async def killable_manager(rdp: Site) -> AsyncIterator[tuple[asyncio.subprocess.Process, ServiceClient]]:
    """rdp-manager as a process of its own, in a process group of its own."""
    environment = rdp.house.environment(contract.SERVICE) | {
        "LUCID_PORTS": "local",
        "LUCID_PORT_OFFSET": os.environ["LUCID_PORT_OFFSET"],
        "RDP_POLL_SECONDS": "60",
    }
    argv = [sys.executable, "-m", "lucid", "serve", contract.SERVICE]
    process = await asyncio.create_subprocess_exec(
        *argv, env=environment, start_new_session=True, stdout=asyncio.subprocess.DEVNULL
    )
    url = f"https://127.0.0.1:{catalog.load().services[contract.SERVICE].entry.local_port}"
    client = ServiceClient({contract.SERVICE: url}, rdp.house.client_context("api-gateway"))
    try:
        person = rdp.person()

        async def there() -> bool:
            await person.ask(contract.LIST, contract.RdpSessionsQuery(), by=client)
            return True

        await until(there, 30)
        yield process, client
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        await client.close()
