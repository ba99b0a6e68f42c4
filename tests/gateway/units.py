"""Services as units of a host: sockets that stay from one start to the next, processes that come and go."""

import asyncio
import os
import signal
import socket
import sys
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from lucid import catalog
from tests.auth.live import Deployment, inherited
from tests.kit.worker_process import PASS_SOCKETS, ROOT, Service, listening

SERVE = "from lucid.kit import launch; launch.run({!r})"
START_SECONDS = 60.0
STOP_SECONDS = 40.0
"""More than its workers have for the requests that still run (`ServeOptions.graceful_timeout`)."""


class Unit:
    """A service of a deployment under gunicorn, with the workers that the catalogue gives it.

    Its sockets are of loopback and held here, as systemd holds them: connections that come while it is away
    wait. `ports` are theirs by name; one that is not given is any that is free. `settings` are variables
    beside the deployment's. `label` tells units of the same service apart: in the names of their files.
    """

    def __init__(
        self,
        deployment: Deployment,
        service: str,
        *,
        label: str = "",
        ports: Mapping[str, int] | None = None,
        settings: dict[str, str] | None = None,
    ) -> None:
        self.name = service + label
        names = [listen.name for listen in catalog.load().services[service].listen]
        self._sockets = {name: listening((ports or {}).get(name, 0)) for name in names}
        self.ports = {name: int(each.getsockname()[1]) for name, each in self._sockets.items()}
        self._service = service
        self._log = deployment.directory / f"{self.name}.log"
        address = f"lucid-test-{uuid.uuid4()}"
        self._inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._inbox.bind(f"\0{address}")
        self._inbox.setblocking(False)
        self._environment = inherited() | deployment.environment | {
            "PYTHONPATH": str(ROOT),
            "STATE_DIRECTORY": str(deployment.directory / self.name),
            "LOG_LEVEL": "WARNING",
            "NOTIFY_SOCKET": f"@{address}",
            "LISTEN_FDS": str(len(names)),
            "LISTEN_FDNAMES": ":".join(names),
        } | (settings or {})  # fmt: skip
        self._running: Service | None = None

    async def start(self) -> None:
        """Returns when all workers listen."""
        fds = [each.fileno() for each in self._sockets.values()]
        with self._log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", PASS_SOCKETS, ",".join(map(str, fds)),
                "-c", SERVE.format(self._service),
                env=self._environment, pass_fds=fds, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        self._running = running = Service(process, self._log)
        asyncio.get_running_loop().add_reader(self._inbox, running.hear, self._inbox)
        await running.hears("READY=1", within=START_SECONDS)

    async def restart(self) -> None:
        """Stops it as systemd does, waits for its end, and starts it anew."""
        self.process.terminate()
        async with asyncio.timeout(STOP_SECONDS):
            status = await self.process.wait()
        assert status == 0, self.log
        await self.start()

    async def kill(self) -> None:
        """kill -9, to the whole group. Its sockets stay."""
        if self._running is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()

    async def close(self) -> None:
        """Kills it and lets go of its sockets."""
        await self.kill()
        asyncio.get_running_loop().remove_reader(self._inbox)
        for each in (self._inbox, *self._sockets.values()):
            each.close()

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The arbiter. Raises RuntimeError before the first start."""
        if self._running is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._running.process

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def workers(self) -> list[int]:
        """Process ids."""
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    @property
    def memory(self) -> int:
        """What its workers hold together, bytes (VmRSS)."""
        return sum(_resident(pid) for pid in self.workers)


def _resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:"))
