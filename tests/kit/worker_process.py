"""Runs the sample service as a child process, standing in for systemd: sockets, notifications, signals."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
APP = Path(__file__).with_name("worker_app.py")

# As systemd does between fork and exec: sockets from descriptor 3 on, LISTEN_PID that of the program.
PASS_SOCKETS = """
import fcntl, os, sys
fds = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 100) for fd in sys.argv[1].split(",")]
for index, fd in enumerate(fds):
    os.dup2(fd, 3 + index)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class Service:
    """A running sample service, and what it has told through its notification socket."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self._log = log
        self.told: list[tuple[float, str]] = []
        self._news = asyncio.Event()

    def hear(self, inbox: socket.socket) -> None:
        self.told.append((time.monotonic(), inbox.recv(4096).decode()))
        self._news.set()

    def times(self, line: str) -> list[float]:
        """When each message with this line came, in monotonic seconds."""
        return [at for at, text in self.told if line in text.splitlines()]

    async def hears(self, line: str, *, count: int = 1, within: float = 10) -> None:
        """Return as soon as `line` was sent `count` times; fail if the service ends before."""
        async with asyncio.timeout(within):
            while len(self.times(line)) < count:
                self._news.clear()
                news = asyncio.create_task(self._news.wait())
                end = asyncio.create_task(self.process.wait())
                await asyncio.wait({news, end}, return_when=asyncio.FIRST_COMPLETED)
                assert news.done() or len(self.times(line)) >= count, f"ended without {line}:\n{self.log}"
                news.cancel()
                end.cancel()

    async def logs(self, text: str, *, count: int = 1, within: float = 10) -> None:
        """Return as soon as the log holds `text` `count` times."""
        await until(lambda: self.log.count(text) >= count, within)

    async def has_workers(self, count: int, *, within: float = 10) -> None:
        """Return as soon as the service has just `count` worker processes."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        await until(lambda: len(children.read_text().split()) == count, within)

    async def ends(self, within: float = 10) -> int:
        """Wait for the service's end; return its exit status."""
        async with asyncio.timeout(within):
            return await self.process.wait()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    @property
    def log(self) -> str:
        return self._log.read_text()


async def until(condition: Callable[[], bool], within: float) -> None:
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110  # what is waited for sets no event
            await asyncio.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listening(port: int = 0) -> socket.socket:
    """A socket such as systemd holds for a service."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", port))
    held.listen(2048)
    return held


@asynccontextmanager
async def service(
    directory: Path,
    *listeners: dict[str, Any],
    sockets: dict[str, socket.socket] | None = None,
    environment: dict[str, str] | None = None,
    **config: Any,
) -> AsyncIterator[Service]:
    """Run the sample service; whatever state it is in at the end, it is killed with all its workers."""
    config["listeners"] = listeners
    inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    inbox_path = directory / f"notify-{time.monotonic_ns()}"
    inbox.bind(str(inbox_path))
    inbox.setblocking(False)
    env = os.environ | {"PYTHONPATH": str(ROOT), "NOTIFY_SOCKET": str(inbox_path)} | (environment or {})
    # Some thirty starts: the imports are compiled for the first of them only, wherever bytecode is not kept.
    env["PYTHONPYCACHEPREFIX"] = str(directory.parent / "bytecode")
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    command: Sequence[str] = [str(APP), json.dumps(config)]
    fds: list[int] = []
    if sockets is not None:
        fds = [each.fileno() for each in sockets.values()]
        env |= {"LISTEN_FDS": str(len(fds)), "LISTEN_FDNAMES": ":".join(sockets)}
        command = ["-c", PASS_SOCKETS, ",".join(map(str, fds)), *command]
    log = directory / f"log-{time.monotonic_ns()}"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            env=env,
            pass_fds=fds,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    running = Service(process, log)
    asyncio.get_running_loop().add_reader(inbox, running.hear, inbox)
    try:
        yield running
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        asyncio.get_running_loop().remove_reader(inbox)
        inbox.close()
