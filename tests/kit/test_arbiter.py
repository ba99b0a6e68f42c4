"""What the arbiter tells systemd, and how it brings workers in and out, seen from outside the process."""

import itertools
import os
import signal
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.kit.worker_process import free_port, service

pytestmark = pytest.mark.quiet

WATCHED = {"WATCHDOG_USEC": "1000000"}


@pytest.fixture
def plain() -> dict[str, Any]:
    return {"name": "plain", "port": free_port()}


async def pid_at(port: int) -> int:
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"http://127.0.0.1:{port}/") as answer,
    ):
        pid: int = (await answer.json())["pid"]
        return pid


class TestReadiness:
    async def test_is_said_once_every_worker_has_started_and_listens(
        self, tmp_path: Path, plain: dict[str, Any]
    ) -> None:
        async with service(tmp_path, plain, startup=1, options={"workers": 2}) as running:
            await running.hears("STATUS=Starting: 0 of 2 workers ready")
            await running.hears("READY=1")
            assert running.log.count("resource opened") == 2
            assert len(running.times("READY=1")) == 1
            assert await pid_at(plain["port"]) != running.process.pid
            await running.hears("STATUS=Serving with 2 of 2 workers")

    async def test_is_never_said_when_the_application_cannot_start(
        self, tmp_path: Path, plain: dict[str, Any]
    ) -> None:
        broken = tmp_path / "broken"
        errors = {
            "": "the sample is broken",
            "exit": "the application left during its start: the sample exits",
            "cancel": "the application cancelled its own start",
        }
        for reason, error in errors.items():
            broken.write_text(reason)
            async with service(tmp_path, plain, broken_by=str(broken)) as running:
                assert await running.ends() == 3
                assert not running.times("READY=1")
                assert error in running.log
                assert "a worker could not start, see its error above" in running.log

    async def test_is_never_said_when_the_start_takes_too_long(
        self, tmp_path: Path, plain: dict[str, Any]
    ) -> None:
        async with service(tmp_path, plain, startup=30, options={"startup_timeout": 0.5}) as running:
            assert await running.ends() == 3
            assert not running.times("READY=1")
            assert "did not start within startup_timeout (0.5 s)" in running.log

    async def test_is_withdrawn_by_a_stop(self, tmp_path: Path, plain: dict[str, Any]) -> None:
        async with service(tmp_path, plain) as running:
            await running.hears("READY=1")
            running.send(signal.SIGTERM)
            await running.hears("STOPPING=1")
            assert await running.ends() == 0
            assert "resource closed" in running.log

    async def test_is_not_awaited_by_a_stop(self, tmp_path: Path, plain: dict[str, Any]) -> None:
        async with service(tmp_path, plain, startup=30) as running:
            await running.hears("STATUS=Starting: 0 of 1 workers ready")
            running.send(signal.SIGTERM)
            assert await running.ends(within=5) == 0
            assert not running.times("READY=1")

    async def test_can_be_said_by_nobody_but_the_arbiter(self, tmp_path: Path, plain: dict[str, Any]) -> None:
        async with service(tmp_path, plain, environment=WATCHED) as running:
            await running.hears("READY=1")
            async with (
                aiohttp.ClientSession() as client,
                client.get(f"http://127.0.0.1:{plain['port']}/") as answer,
            ):
                assert (await answer.json())["environment"] == []


class TestWatchdog:
    async def test_is_fed_twice_per_period_and_not_while_a_loop_is_blocked(
        self, tmp_path: Path, plain: dict[str, Any]
    ) -> None:
        async with service(tmp_path, plain, environment=WATCHED, options={"workers": 2}) as running:
            await running.hears("READY=1")
            await running.hears("WATCHDOG=1", count=len(running.times("WATCHDOG=1")) + 4)
            fed = running.times("WATCHDOG=1")[-4:]
            assert max(later - sooner for sooner, later in itertools.pairwise(fed)) < 0.6
            async with aiohttp.ClientSession() as client:
                blocked_at = time.monotonic()
                async with client.get(f"http://127.0.0.1:{plain['port']}/block?seconds=3") as answer:
                    assert answer.status == 200
            released_at = time.monotonic()
            # Heartbeats are sent twice a second, and 1.5 s of silence is too long.
            assert not [at for at in running.times("WATCHDOG=1") if blocked_at + 2.2 < at < released_at]
            await running.hears("WATCHDOG=1", count=len(running.times("WATCHDOG=1")) + 1, within=2)

    async def test_is_not_fed_while_a_worker_is_frozen_and_the_worker_is_replaced(
        self, tmp_path: Path, plain: dict[str, Any]
    ) -> None:
        async with service(tmp_path, plain, environment=WATCHED, options={"timeout": 2}) as running:
            await running.hears("READY=1")
            frozen = await pid_at(plain["port"])
            os.kill(frozen, signal.SIGSTOP)
            frozen_at = time.monotonic()
            await running.hears(f"STATUS=No heartbeat from worker {frozen}", within=3)
            silent_from = time.monotonic()
            await running.logs(f"worker {frozen} was killed by SIGKILL")
            killed_at = running.times("STATUS=Serving with 0 of 1 workers")
            end = killed_at[-1] if killed_at else time.monotonic()
            assert not [at for at in running.times("WATCHDOG=1") if silent_from < at < end]
            assert silent_from - frozen_at < 2.5
            await running.hears("STATUS=Serving with 1 of 1 workers", count=2)
            assert await pid_at(plain["port"]) != frozen


class TestWorkers:
    async def test_that_die_are_replaced_and_their_end_is_told(
        self, tmp_path: Path, plain: dict[str, Any]
    ) -> None:
        async with service(tmp_path, plain) as running:
            await running.hears("READY=1")
            first = await pid_at(plain["port"])
            os.kill(first, signal.SIGKILL)
            await running.logs(f"told of the end of {first}")
            assert await pid_at(plain["port"]) != first
            assert len(running.times("READY=1")) == 1

    async def test_are_added_and_removed_by_signal(self, tmp_path: Path, plain: dict[str, Any]) -> None:
        async with service(tmp_path, plain) as running:
            await running.hears("READY=1")
            running.send(signal.SIGTTIN)
            await running.hears("STATUS=Serving with 2 of 2 workers")
            running.send(signal.SIGTTOU)
            await running.logs("told of the end of")
            await running.hears("STATUS=Serving with 1 of 1 workers", count=2)


class TestReload:
    async def test_replaces_the_workers_and_tells_its_beginning_and_end(
        self, tmp_path: Path, plain: dict[str, Any]
    ) -> None:
        async with service(tmp_path, plain, startup=0.5) as running:
            await running.hears("READY=1")
            before = await pid_at(plain["port"])
            asked_at = time.monotonic()
            running.send(signal.SIGHUP)
            await running.hears("RELOADING=1")
            assert await pid_at(plain["port"]) == before
            await running.hears("READY=1", count=2)
            (said,) = [text for _, text in running.told if "RELOADING=1" in text]
            assert asked_at <= int(said.split("MONOTONIC_USEC=")[1]) / 1e6 <= time.monotonic()
            await running.logs(f"told of the end of {before}")
            assert await pid_at(plain["port"]) != before

    async def test_that_fails_leaves_the_old_workers_in_service(
        self, tmp_path: Path, plain: dict[str, Any]
    ) -> None:
        broken = tmp_path / "broken"
        async with service(tmp_path, plain, broken_by=str(broken), options={"workers": 2}) as running:
            await running.hears("READY=1")
            broken.touch()
            running.send(signal.SIGHUP)
            await running.logs("reload failed")
            await running.hears("READY=1", count=2)
            await running.hears("STATUS=Serving with 2 of 2 workers", count=2)
            served_by = await pid_at(plain["port"])
            broken.unlink()
            running.send(signal.SIGHUP)
            await running.hears("READY=1", count=3)
            await running.logs(f"told of the end of {served_by}")
            assert running.process.returncode is None

    async def test_that_cannot_fork_leaves_the_old_workers_in_service(
        self, tmp_path: Path, plain: dict[str, Any]
    ) -> None:
        beats = tmp_path / "beats"
        beats.mkdir()
        async with service(tmp_path, plain, environment={"RUNTIME_DIRECTORY": str(beats)}) as running:
            await running.hears("READY=1")
            before = await pid_at(plain["port"])
            beats.rmdir()
            running.send(signal.SIGHUP)
            await running.logs("a worker could not be forked")
            await running.hears("READY=1", count=2)
            assert await pid_at(plain["port"]) == before

    async def test_kills_an_old_worker_that_does_not_end(self, tmp_path: Path, plain: dict[str, Any]) -> None:
        options = {"graceful_timeout": 1, "drain_seconds": 0.1}
        async with service(tmp_path, plain, cleanup=60, options=options) as running:
            await running.hears("READY=1")
            before = await pid_at(plain["port"])
            running.send(signal.SIGHUP)
            await running.logs(f"worker {before} did not stop within graceful_timeout")
            await running.logs(f"worker {before} was killed by SIGKILL")
            assert await pid_at(plain["port"]) != before

    async def test_given_several_times_at_once_ends_with_one_set_of_workers(
        self, tmp_path: Path, plain: dict[str, Any]
    ) -> None:
        async with service(tmp_path, plain, startup=0.3) as running:
            await running.hears("READY=1")
            for _ in range(5):
                running.send(signal.SIGHUP)
                await running.hears("RELOADING=1", count=len(running.times("RELOADING=1")) + 1)
            await running.hears("READY=1", count=2)
            await running.has_workers(1)


class TestUpgradeInPlace:
    async def test_is_refused(self, tmp_path: Path, plain: dict[str, Any]) -> None:
        async with service(tmp_path, plain) as running:
            await running.hears("READY=1")
            running.send(signal.SIGUSR2)
            await running.logs("SIGUSR2 is not supported")
            await running.has_workers(1)
