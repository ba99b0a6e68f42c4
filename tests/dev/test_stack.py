"""The whole stack, for real: up, healthy, mended, and nobody else's."""

import json
import os
import signal
import ssl
from typing import Any

import aiohttp
import pytest

from lucid import catalog
from lucid.dev.environment import LOOPBACK, standing
from lucid.kit import tls
from tests.cli.command import RunningStack
from tests.dev.waiting import until

pytestmark = pytest.mark.stack


def _status(stack: RunningStack) -> dict[str, dict[str, Any]]:
    answer = stack.lucid("dev", "status", "--json")
    assert answer.returncode == 0, answer.stderr
    return {row["name"]: row for row in json.loads(answer.stdout)}


class TestStatus:
    def test_shows_every_service_and_database_healthy(self, stack: RunningStack) -> None:
        rows = _status(stack)
        assert set(rows) == {*standing().services, "mongodb", "redis"}
        assert {row["health"] for row in rows.values()} <= {"healthy", "up"}, rows
        assert all(row["memory_bytes"] > 1024 * 1024 for row in rows.values())

    def test_needs_a_stack(self, stack: RunningStack) -> None:
        answer = stack.lucid("dev", "status", "--state", str(stack.state.directory / "nothing"))
        assert answer.returncode == 4
        assert "no stack runs on" in answer.stderr


class TestOneStackOnly:
    def test_a_second_one_on_the_directory_is_refused(self, stack: RunningStack) -> None:
        answer = stack.lucid("dev")
        assert answer.returncode == 1
        assert "a stack runs on" in answer.stderr

    def test_a_second_one_elsewhere_is_told_which_port_is_taken(self, stack: RunningStack) -> None:
        answer = stack.lucid("dev", "--state", str(stack.state.directory.with_name("second")))
        assert answer.returncode == 1
        port = catalog.load().services["auth-service"].entry.local_port
        assert f"port {port} of 127.0.0.1 cannot be used" in answer.stderr


class TestAServiceThatDies:
    def test_is_started_again_with_all_its_workers_and_becomes_healthy(self, stack: RunningStack) -> None:
        before = _status(stack)["api-gateway"]
        os.kill(before["pid"], signal.SIGKILL)

        def mended() -> bool:
            now = _status(stack)["api-gateway"]
            return bool(now["restarts"] == before["restarts"] + 1 and now["health"] == "healthy")

        until(mended, seconds=30.0)
        assert _status(stack)["api-gateway"]["pid"] != before["pid"]


class TestSecrets:
    def test_are_in_no_environment_and_on_no_command_line(self, stack: RunningStack) -> None:
        secrets = [path.read_bytes().strip() for path in stack.state.directory.glob("credentials/*/*")]
        assert len(secrets) == sum(len(each.credentials) for each in standing().services.values())
        for program in stack.running.programs:
            for file in ("environ", "cmdline"):
                with open(f"/proc/{program.pid}/{file}", "rb") as shown:  # noqa: PTH123 - proc(5)
                    content = shown.read()
                assert not any(secret in content for secret in secrets), program.name

    def test_are_in_no_log(self, stack: RunningStack) -> None:
        operator = json.loads(stack.state.operator.read_bytes())["password"].encode()
        secrets = [path.read_bytes().strip() for path in stack.state.directory.glob("credentials/*/*")]
        for log in stack.state.logs.iterdir():
            content = log.read_bytes()
            assert not any(secret in content for secret in (*secrets, operator)), log.name


class TestMutualTls:
    async def test_a_caller_that_the_catalogue_does_not_name_is_refused(self, stack: RunningStack) -> None:
        services = catalog.load().services
        callee = services["session-storage"]
        assert "session-recorder" not in catalog.load().callers_of(callee.name)
        directory = stack.state.tls
        context = tls.client_context(
            directory / "session-recorder.crt", directory / "session-recorder.key", directory / "ca.crt"
        )
        url = f"https://{LOOPBACK}:{callee.entry.local_port}/sessions/x"
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, ssl=context, server_hostname=tls.internal_name(callee.name)) as answer,
        ):
            assert answer.status == 403
            assert (await answer.json())["error"]["code"] == "LUCID_ERR_2004"

    async def test_nobody_connects_without_a_certificate(self, stack: RunningStack) -> None:
        callee = catalog.load().services["session-storage"]
        context = ssl.create_default_context(cafile=stack.running.ca)
        url = f"https://{LOOPBACK}:{callee.entry.local_port}/health"
        async with aiohttp.ClientSession() as session:
            with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
                await session.get(url, ssl=context, server_hostname=tls.internal_name(callee.name))
