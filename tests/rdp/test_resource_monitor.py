"""resource-monitor over its real TLS: on this machine's figures, and on real or made groups."""

import asyncio
import shutil
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from lucid import catalog
from lucid.contracts import resource_monitor as contract
from lucid.contracts.xrdp import SlotPath
from lucid.dev import ca
from lucid.kit.client import ServiceClient
from lucid.kit.errors import Code, Forbidden, Invalid, NotFound
from lucid.kit.routes import NOTHING
from lucid.kit.tls import internal_name
from lucid.rdp import looking, slots
from lucid.rdp.looking import Looking, Places
from lucid.rdp.measuring import Reading
from lucid.rdp.resource_monitor import Monitor
from tests.deployment import Deployment
from tests.rdp import captured, groups
from tests.rdp.test_cgroups import BURN
from tests.sessions.waiting import until

NAME = contract.SERVICE
Samples = dict[tuple[str, str], float]


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Deployment]:
    """A deployment in which the route's callers exist, whether this version has them yet or not."""
    shipped = catalog.load()
    callers = {
        name: msgspec.structs.replace(shipped.services[NAME], name=name, calls=(NAME,))
        for name in contract.CALLERS
        if name not in shipped.services
    }
    larger = msgspec.structs.replace(shipped, services=shipped.services | callers)
    monkeypatch.setattr(catalog, "load", lambda: larger)
    made = Deployment(tmp_path, "", "", MONITOR_INTERVAL_SECONDS="0.1")
    yield made
    await made.close()


@pytest.fixture
def root(house: Deployment, tmp_path: Path) -> Path:
    """A host with control groups of version 2, and no session yet."""
    made = tmp_path / "cgroup"
    groups.write(made, {"cgroup.controllers": "cpu io memory pids\n"})
    house.settings["MONITOR_CGROUP_ROOT"] = str(made)
    return made


@pytest.fixture
async def manager(house: Deployment) -> ServiceClient:
    return await house.client("rdp-manager")


@pytest.fixture
def port() -> int:
    """A slot's port that nobody listens on."""
    for each in slots.PORTS:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", each)):
                return each
    pytest.fail("every port of a slot is taken")


async def measured(client: ServiceClient) -> contract.Host:
    """The host, once it was measured twice."""

    async def twice() -> bool:
        return (await client.call(contract.HOST, NOTHING)).cpu_share is not None

    await until(twice)
    return await client.call(contract.HOST, NOTHING)


async def scraped(house: Deployment) -> Samples:
    """The metrics of host and sessions, as Prometheus gets them. Other services of this process have more."""
    async with aiohttp.ClientSession() as session:
        url = f"{house.urls([NAME])[NAME]}/metrics"
        tls: ssl.SSLContext = house.client_context("prometheus")
        async with session.get(url, ssl=tls, server_hostname=internal_name(NAME)) as answer:
            assert answer.status == 200
            text = await answer.text()
    return {
        (sample.name.removeprefix("lucid_rdp_"), sample.labels.get("port", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("lucid_rdp_host_")
        or (sample.name.startswith("lucid_rdp_session_") and "port" in sample.labels)
    }


async def test_tells_of_this_machine(house: Deployment, manager: ServiceClient) -> None:
    await house.start(NAME)
    host = await measured(manager)
    assert host.cpu_share is not None
    assert 0 <= host.cpu_share <= 1
    assert 0 < host.memory_available_bytes < host.memory_total_bytes
    assert abs(host.disk_total_bytes - shutil.disk_usage(house.directory).total) < 1024**2
    assert host.disk_free_bytes > 0
    found = await scraped(house)
    assert found["host_memory_bytes", ""] == host.memory_total_bytes
    assert found["host_cores", ""] == host.cores
    assert await house.ready(NAME)


async def test_tells_of_sessions_until_they_end(
    house: Deployment, manager: ServiceClient, root: Path, port: int
) -> None:
    await house.start(NAME)
    group = root.joinpath(*slots.PARENTS, slots.slice_of(port))
    await measured(manager)
    with pytest.raises(NotFound) as missing:
        await manager.call(contract.SESSION, SlotPath(port))
    assert missing.value.code.number == 4001
    groups.write(group, captured.V2)

    async def there() -> bool:
        return (await manager.call(contract.HOST, NOTHING)).sessions == 1

    await until(there)
    session = await manager.call(contract.SESSION, SlotPath(port))
    assert (session.memory_bytes, session.oom_kills, session.task_limit) == (80 * 1024**2, 2, 512)
    assert [each.port for each in (await manager.call(contract.SESSIONS, NOTHING)).sessions] == [port]
    found = await scraped(house)
    assert found["session_memory_limit_bytes", str(port)] == 512 * 1024**2
    assert found["session_oom_kills_total", str(port)] == 2
    assert found["host_sessions", ""] == 1
    shutil.rmtree(group)

    async def gone() -> bool:
        return (await manager.call(contract.HOST, NOTHING)).sessions == 0

    await until(gone)
    assert not [name for name, label in await scraped(house) if label]
    with pytest.raises(NotFound):
        await manager.call(contract.SESSION, SlotPath(port))


async def test_counts_a_session_s_traffic_over_connections_that_closed(
    house: Deployment, manager: ServiceClient, root: Path, port: int
) -> None:
    groups.write(root.joinpath(*slots.PARENTS, slots.slice_of(port)), captured.V2)
    await house.start(NAME)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1000)
        writer.write(b"x" * 50_000)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port)
    await measured(manager)
    for _ in range(3):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"y" * 1000)
        await reader.readexactly(50_000)
        writer.close()
        await writer.wait_closed()

    async def all_counted() -> bool:
        session = await manager.call(contract.SESSION, SlotPath(port))
        return session.connections == 0 and (session.sent_bytes or 0) >= 150_000

    await until(all_counted)
    session = await manager.call(contract.SESSION, SlotPath(port))
    assert session.received_bytes is not None
    assert session.sent_bytes is not None
    assert 3000 <= session.received_bytes <= 3006
    assert 150_000 <= session.sent_bytes <= 150_006
    assert (await scraped(house))["session_sent_bytes_total", str(port)] == session.sent_bytes
    server.close()
    await server.wait_closed()


async def test_tells_what_a_real_session_uses(
    house: Deployment, manager: ServiceClient, tmp_path: Path, port: int
) -> None:
    if reason := groups.why_not():
        pytest.skip(reason)
    with groups.real(tmp_path) as real:
        house.settings["MONITOR_CGROUP_ROOT"] = str(real.root)
        unit = f"lucid-desktop@{port}.service"
        real.unit(port, unit)
        await house.start(NAME)
        await measured(manager)
        process = real.run(port, unit, BURN)
        await asyncio.to_thread(groups.work, process)

        async def seen() -> bool:
            session = await manager.call(contract.SESSION, SlotPath(port))
            return session.processes == 1 and (session.cpu_seconds or 0) > 0.1

        await until(seen)
        session = await manager.call(contract.SESSION, SlotPath(port))
        assert session.memory_bytes is not None
        assert session.memory_bytes > 40 * 1024**2
        assert session.cpu_cores is not None
        assert groups.leave(process) == 0


async def test_tells_nothing_rather_than_old_figures(
    house: Deployment, manager: ServiceClient, tmp_path: Path
) -> None:
    proc = tmp_path / "proc"
    files = {"stat": captured.STAT, "meminfo": captured.MEMINFO, "loadavg": captured.LOADAVG}
    groups.write(proc, files)
    groups.write(proc / "self/net", {"dev": captured.NET_DEV})
    groups.write(proc / "self", {"cgroup": captured.OWN_V2})
    house.settings["MONITOR_PROC"] = str(proc)
    await house.start(NAME)

    async def first() -> bool:
        return (await manager.call(contract.HOST, NOTHING)).load_1 == 1.52

    await until(first)
    assert await house.ready(NAME)
    (proc / "stat").write_text("nothing\n")

    async def refused() -> bool:
        url = f"{house.urls([NAME])[NAME]}/host"
        async with manager.session.get(url, server_hostname=internal_name(NAME)) as answer:
            return answer.status == 503 and Code.UNAVAILABLE.label in await answer.text()

    await until(refused)
    assert not await house.ready(NAME)
    assert await scraped(house) == {}
    (proc / "stat").write_text(captured.STAT)
    await until(first)


async def test_ends_after_the_look_that_is_under_way(tmp_path: Path) -> None:
    began, looks = threading.Event(), list[Reading]()

    class Slow(Looking):
        def look(self) -> Reading:
            began.set()
            time.sleep(0.3)
            looks.append(super().look())
            return looks[-1]

    places = Places(Path("/proc"), Path("/sys/fs/cgroup"), tmp_path)
    slow = Slow(places, looking.connections())
    measuring = asyncio.create_task(Monitor(slow, 60).run())
    await asyncio.to_thread(began.wait)
    measuring.cancel()
    await asyncio.wait([measuring])
    slow.close()
    assert len(looks) == 1


async def test_admits_its_callers_only_and_no_port_that_is_none(
    house: Deployment, manager: ServiceClient, root: Path
) -> None:
    await house.start(NAME)
    with pytest.raises(Forbidden):
        await house.call("session-api", contract.HOST, NOTHING)
    url = f"{house.urls([NAME])[NAME]}/sessions/22"
    async with manager.session.get(url, server_hostname=internal_name(NAME)) as answer:
        assert answer.status == Invalid("").code.status
        assert "port" in await answer.text()


def test_certificates_of_its_callers_are_made(house: Deployment) -> None:
    assert set(contract.CALLERS) <= set(ca.ensure(house.tls, list(contract.CALLERS)))
