"""The gunicorn worker: one process, one event loop, one application on every named socket.

Beyond aiohttp's own worker it has a TLS context for each socket, says when it really listens, proves from
inside its event loop that it is alive, and leaves without dropping a request.

How it leaves, told by SIGTERM:

1. Until the connections it has are over, and for at most `drain_seconds`, it goes on serving, new connections
   too: they would have to wait for the next start. Each response says `Connection: close`, and idle
   connections end by the client's own, shorter, limit: no request is cut.
2. Then it stops accepting. The listening sockets are shared with the arbiter (and systemd, if that holds
   them), so connections which arrive now wait in the kernel's queue for another worker or the next start.
3. What was just accepted is still answered. Requests still running then get most of `graceful_timeout`, what
   is left is cancelled, the application cleans up.

SIGQUIT and SIGINT skip to the end of that.
"""

import asyncio
import gc
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web
from aiohttp.worker import GunicornUVLoopWebWorker

from lucid.kit import connections
from lucid.kit.carried import Carried
from lucid.kit.draining import install
from lucid.kit.listeners import ListeningSocket
from lucid.kit.tls import server_context

HEARTBEAT_SECONDS: Final = 0.5
STOP_SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGQUIT, signal.SIGINT})
_READY_MARK = b"ready"
_AT_ONCE_SECONDS = 0.1  # aiohttp takes 0 for no limit
_TURN_SECONDS = 0.05
_COLLECT_AFTER = 10_000
"""New objects before Python looks for unused cycles among them, instead of 700."""

AppFactory = Callable[[], Awaitable[web.Application]]


class StartError(RuntimeError):
    """The application could not be started; the worker ends and the arbiter decides what that means."""


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How a service is run; all times in seconds.

    `timeout`: a worker whose event loop is silent this long is killed and replaced.
    `startup_timeout`: what an application's start may take.
    `graceful_timeout`: what a worker's stop may take, from the signal to its end.
    `drain_seconds`: how long idle connections stay open in a stop; longer than clients keep theirs.
    `keepalive_seconds`: how long they stay open otherwise; also longer than clients keep theirs.
    `backlog`: connections the kernel queues per socket.
    """

    workers: int = 1
    timeout: int = 30
    startup_timeout: float = 60
    graceful_timeout: int = 30
    drain_seconds: float = 6
    keepalive_seconds: float = 75
    backlog: int = 2048

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1, not {self.workers}")
        if self.timeout < 2:
            raise ValueError(f"timeout must be at least 2 s, four heartbeats, not {self.timeout}")
        if self.drain_seconds >= self.request_seconds:
            raise ValueError(
                f"drain_seconds ({self.drain_seconds:g}) must be below 80 % of graceful_timeout"
                f" ({self.graceful_timeout})"
            )

    @property
    def request_seconds(self) -> float:
        """How long a request may run on after the signal; the rest of `graceful_timeout` is for cleanup."""
        return 0.8 * self.graceful_timeout

    @property
    def cancel_seconds(self) -> float:
        """How long a handler cancelled after that has for its own cleanup."""
        return 0.05 * self.graceful_timeout


class ServiceWorker(GunicornUVLoopWebWorker):
    """A worker as gunicorn's arbiter creates it, before the fork; `_run` and below happen in the child."""

    generation: int = 0
    """Which reload this worker belongs to; the arbiter's side."""
    retired_at: float | None = None
    """Monotonic time at which the arbiter told it to stop; the arbiter's side."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._options: ServeOptions = self.app.options
        self._stop = asyncio.Event()
        self._at_once = False
        self._phase: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether the worker listens on all its sockets, read through the file it shares with the arbiter."""
        return os.fstat(self.tmp.fileno()).st_size > 0

    def handle_exit(self, _sig: int, _frame: object) -> None:
        """Stop gracefully, or give up starting."""
        self._stop.set()
        if not self.booted:
            self._end_phase()

    def handle_quit(self, _sig: int, _frame: object) -> None:
        """Stop now, whether serving, starting or draining."""
        self._at_once = True
        self._stop.set()
        self._end_phase()

    async def _run(self) -> None:
        # The arbiter forks with these blocked: none is lost that comes before this process can handle it.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        heartbeat = asyncio.create_task(self._beat())
        try:
            if await self._completed(self._start()):
                await self._stop.wait()
                await self._leave()
        finally:
            heartbeat.cancel()

    async def _start(self) -> None:
        seconds = self._options.startup_timeout
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                self._runner, self._servers = await self._listen()
            _spare_collections()
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise StartError(
                f"the application did not start within startup_timeout ({seconds:g} s)"
            ) from error
        except SystemExit as error:
            # As an exit status it would look like a worker's ordinary end, to be replaced for ever.
            raise StartError(f"the application left during its start: {error}") from error
        os.write(self.tmp.fileno(), _READY_MARK)
        # The heartbeat is the file's modification time, which the write has set to the wall clock's.
        self.notify()
        self.booted = True

    async def _listen(self) -> tuple[web.AppRunner, list[asyncio.AbstractServer]]:
        app = await self.wsgi()
        self._draining = install(app)
        runner = web.AppRunner(
            app,
            access_log=None,
            keepalive_timeout=self._options.keepalive_seconds,
            shutdown_timeout=self._options.cancel_seconds,
        )
        try:
            await runner.setup()
            return runner, [await self._serve(runner, each) for each in self.sockets]
        except BaseException:
            await runner.cleanup()
            raise

    async def _serve(self, runner: web.AppRunner, listening: ListeningSocket) -> asyncio.AbstractServer:
        tls = listening.listener.tls
        server = runner.server
        if server is None:
            raise StartError("the application's runner was not set up")
        make = connections.factory(server, runner.app, keepalive_seconds=self._options.keepalive_seconds)
        return await self.loop.create_server(
            (lambda: Carried(make)) if listening.listener.carried else make,
            sock=listening,
            # Read anew by each worker: a reload takes renewed certificates.
            ssl=server_context(tls) if tls else None,
            backlog=self._options.backlog,
        )

    async def _leave(self) -> None:
        self._draining.begin()
        limit = self.loop.time() + self._options.request_seconds
        if not self._at_once:
            await self._completed(self._drain())
        # A server counts its connections, those in a handshake too, only for those who wait before it closes.
        closed = [asyncio.create_task(server.wait_closed()) for server in self._servers]
        await asyncio.sleep(0)
        for server in self._servers:
            server.close()
        if not self._at_once:
            await self._completed(self._finish(closed, limit))
        if self._at_once and self._runner.server is not None:
            await self._runner.server.shutdown(_AT_ONCE_SECONDS)
        for each in closed:
            each.cancel()
        await self._runner.cleanup()

    async def _drain(self) -> None:
        """Serve on until the connections from before are over; those still idle at the end are closed."""
        server = self._runner.server
        before = set(server.connections) if server else set()
        until = self.loop.time() + self._options.drain_seconds
        while (  # noqa: ASYNC110  # aiohttp tells nobody when a connection is over
            server and before.intersection(server.connections) and self.loop.time() < until
        ):
            await asyncio.sleep(_TURN_SECONDS)
        for connection in before:
            if not self._draining.answers(connection):
                connection.force_close()

    async def _finish(self, closed: list[asyncio.Task[None]], limit: float) -> None:
        """Answer what has been accepted, until `limit` on the loop's clock."""
        await asyncio.wait(closed, timeout=self._options.drain_seconds)
        try:
            async with asyncio.timeout_at(limit):
                await self._draining.quiet()
        except TimeoutError:
            self.log.warning("requests still run after %g s and are cancelled", self._options.request_seconds)

    async def _completed(self, phase: Coroutine[Any, Any, None]) -> bool:
        """Run a coroutine which a signal may end; return whether it came to its own end."""
        if self._at_once or (self._stop.is_set() and not self.booted):
            phase.close()
            return False
        self._phase = asyncio.create_task(phase)
        try:
            await self._phase
        except asyncio.CancelledError as error:
            if not self._stop.is_set():
                raise StartError("the application cancelled its own start") from error
            return False
        finally:
            self._phase = None
        return True

    def _end_phase(self) -> None:
        if self._phase is not None:
            self._phase.cancel()

    async def _beat(self) -> None:
        while True:
            self.notify()
            if os.getppid() != self.ppid:
                self.log.warning("the arbiter is gone, stopping")
                self.handle_exit(signal.SIGTERM, None)
            await asyncio.sleep(HEARTBEAT_SECONDS)


def _spare_collections() -> None:
    """Has the garbage collector leave alone what the worker has when it starts, and run less often.

    All of that stays; to look through it again and again took up to a tenth of a busy worker's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)
