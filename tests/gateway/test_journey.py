"""auth-service and api-gateway as they run on a host: processes of their own, on sockets held for them."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from lucid.contracts.api_gateway import PREFIX as API
from tests.auth.live import BOOTSTRAP_TOKEN, PASSWORD, Deployment, Person, inherited, person
from tests.kit.worker_process import PASS_SOCKETS, ROOT, listening
from tests.sessions.waiting import until

MAIL = "anna@example.org"
SERVE = "from lucid.kit import launch; launch.run({!r})"


class Host:
    """Runs services of a deployment as systemd would: it holds their sockets, they come and go."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self._plain, self._onion = listening(), listening()
        self._sockets: dict[str, dict[str, socket.socket]] = {}
        self._running: dict[str, asyncio.subprocess.Process] = {}

    def log(self, name: str) -> Path:
        return self.deployment.directory / f"{name}.log"

    async def start(self, name: str) -> None:
        entry = listening(self.deployment.ports[name])
        sockets = {"internal": entry}
        if name == "api-gateway":
            sockets = {"https": entry, "http": self._plain, "onion": self._onion}
        self._sockets[name] = sockets
        fds = [each.fileno() for each in sockets.values()]
        environment = inherited() | self.deployment.environment | {
            "PYTHONPATH": str(ROOT),
            "STATE_DIRECTORY": str(self.deployment.directory / name),
            "DRAIN_SECONDS": "0.2",
            "LISTEN_FDS": str(len(fds)),
            "LISTEN_FDNAMES": ":".join(sockets),
        }  # fmt: skip
        with self.log(name).open("ab") as output:
            self._running[name] = await asyncio.create_subprocess_exec(
                sys.executable, "-c", PASS_SOCKETS, ",".join(map(str, fds)), "-c", SERVE.format(name),
                env=environment, pass_fds=fds, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    async def stop(self, name: str) -> int:
        """Stops the service, and its socket with it; returns its exit status."""
        process = self._running.pop(name)
        process.terminate()
        async with asyncio.timeout(15):
            status = await process.wait()
        for held in self._sockets.pop(name).values():
            held.close()
        return status

    @property
    def plain_url(self) -> str:
        return f"http://127.0.0.1:{self._plain.getsockname()[1]}"

    async def end(self) -> None:
        for process in self._running.values():
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        for sockets in self._sockets.values():
            for each in sockets.values():
                each.close()


@asynccontextmanager
async def hosted(deployment: Deployment) -> AsyncIterator[Host]:
    host = Host(deployment)
    try:
        await asyncio.gather(*(host.start(name) for name in ("auth-service", "api-gateway")))
        yield host
    finally:
        await host.end()


async def logged_in(someone: Person, email: str) -> str:
    async with someone.ask(
        "POST", API + "/auth/login", json={"email": email, "password": PASSWORD}
    ) as answer:
        assert answer.status == 200, await answer.text()
        return str((await answer.json())["access_token"])


async def registered(someone: Person, email: str, **more: str) -> str:
    body = {"email": email, "password": PASSWORD} | more
    async with someone.ask("POST", API + "/users", json=body) as answer:
        assert answer.status == 201, await answer.text()
        return str((await answer.json())["id"])


@pytest.mark.timeout(60)
async def test_people_register_log_in_are_given_roles_and_outlive_a_restart(deployment: Deployment) -> None:
    async with hosted(deployment) as host, person(deployment) as someone:
        await registered(someone, "root@example.org", bootstrap_token=BOOTSTRAP_TOKEN)
        anna = await registered(someone, MAIL)
        root, user = await logged_in(someone, "root@example.org"), await logged_in(someone, MAIL)

        async with someone.ask("GET", API + "/users/me", user) as answer:
            assert (await answer.json())["id"] == anna
        role = f"{API}/users/{anna}/role"
        assert (
            await someone.status_and_code("PUT", role, user, json={"role": "admin"}) == "403 LUCID_ERR_2004"
        )
        assert await someone.status_and_code("PUT", role, root, json={"role": "admin"}) == "200"
        user = await logged_in(someone, MAIL)  # a change of role ends the logins that are under way
        async with someone.ask("GET", API + "/auth/status", user) as answer:
            assert (await answer.json())["role"] == "admin"

        assert await host.stop("auth-service") == 0
        assert await someone.status_and_code("GET", API + "/users/me", user) == "503 LUCID_ERR_5008"
        await host.start("auth-service")

        async def back() -> bool:
            return await someone.status_and_code("GET", API + "/users/me", user) == "200"

        await until(back, seconds=30)

        async with aiohttp.ClientSession() as session:
            operator = Person(session, host.plain_url)
            assert await operator.status_and_code("GET", API + "/users/me", user) == "200"
            async with operator.ask("GET", "/metrics") as answer:
                assert 'lucid_auth_token_validations_total{outcome="valid"}' in await answer.text()

        log = host.log("auth-service").read_text()
        assert [line for line in log.splitlines() if '"role done"' in line and anna in line]
        for secret in (PASSWORD, BOOTSTRAP_TOKEN, MAIL, user):
            assert secret not in log + host.log("api-gateway").read_text()
