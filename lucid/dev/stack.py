"""All of Lucid on one machine: the databases, one process for each service, and what keeps them running."""

import asyncio
import contextlib
import graphlib
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Literal

from lucid import catalog
from lucid.dev import ca, environment, operator, running, servers
from lucid.dev.errors import StackError
from lucid.dev.layout import State
from lucid.dev.probe import Observed, Prober
from lucid.dev.processes import Process, Processes
from lucid.dev.supervisor import Supervised

GATEWAY = "api-gateway"
READY_SECONDS = 60.0
TURN_SECONDS = 0.2
PROBE_SECONDS = 2.0

Phase = Literal["starting", "ready", "stopping"]
Starter = Callable[[Processes, Path, Path, int], Process]


@contextlib.asynccontextmanager
async def prepared(
    state: State, *, fresh: bool = False, say: Callable[[str], None] = lambda _: None
) -> AsyncIterator["Stack"]:
    """A stack on the state directory, not started yet; all that it started is ended with the context.

    `fresh` forgets what earlier runs left. `say` is told in words what happens. Raises StackError if another
    stack holds the directory.
    """
    names = environment.standing()
    state.create()
    with running.hold(state):
        if fresh:
            state.clear()
        ca.ensure(state.tls, {*names.services, *names.observers} - {GATEWAY})
        ca.ensure(state.tls, [GATEWAY], extra_names=["localhost"], extra_addresses=[environment.LOOPBACK])
        with Processes() as processes:
            async with Prober(state.tls) as prober:
                stack = Stack(state, names, processes, prober, say)
                try:
                    yield stack
                finally:
                    stack.stop()


class Stack:
    """`start` it, then `watch` it; read `phase` and `programs` meanwhile to show it."""

    def __init__(
        self,
        state: State,
        names: catalog.Catalog,
        processes: Processes,
        prober: Prober,
        say: Callable[[str], None],
    ) -> None:
        self.phase: Phase = "starting"
        self.programs: list[Supervised] = []
        """In the order of their start."""
        self._state = state
        self._catalog = names
        self._processes = processes
        self._prober = prober
        self._say = say
        self._started_ms = time.time_ns() // 1_000_000
        self._urls: dict[str, str] = {}

    @property
    def api(self) -> str:
        """Base URL of the gateway."""
        return environment.local_url(self._catalog.services[GATEWAY])

    async def start(self) -> None:
        """Starts everything, each service once those that it calls are ready. Raises StackError."""
        services = self._catalog.services
        for service in services.values():
            for listen in service.listen:
                servers.require_free(service.name, listen.local_port)
        await self._store("mongodb", servers.start_mongod, servers.mongodb_url)
        await self._store("redis", servers.start_redis, servers.redis_url)
        order = graphlib.TopologicalSorter({service.name: service.calls for service in services.values()})
        order.prepare()
        waiting: dict[str, Supervised] = {}
        until = 0.0
        while order.is_active():
            for name in order.get_ready():
                waiting[name] = self._supervise(self._start_service(services[name]))
                until = time.monotonic() + READY_SECONDS
            await asyncio.sleep(TURN_SECONDS)
            for name, program in tuple(waiting.items()):
                program.observed = await self._prober.service(services[name])
                if program.observed.ready:
                    del waiting[name]
                    order.done(name)
                    self._say(f"{name} is ready")
                else:
                    _give_up_if_hopeless(program, until)
        await operator.ensure(self._state, services)
        self._enter("ready")

    async def watch(self) -> None:
        """Starts again what ends and asks everybody how they are, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tend())
            tasks.create_task(self._observe())

    def stop(self) -> None:
        """Ends everything, last started first."""
        self._enter("stopping")
        for program in reversed(self.programs):
            self._say(f"stopping {program.name}")
            program.stop()

    async def _store(self, name: str, start: Starter, url: Callable[[int], str]) -> None:
        """Starts a database unless the environment names one."""
        if given := os.environ.get(f"LUCID_{name.upper()}_URL"):
            self._urls[name] = given
            return
        port = self._catalog.stores[name].local_port
        # In a thread: the program may have to be fetched first.
        process = await asyncio.to_thread(
            start, self._processes, self._state.directory / name, self._state.log(name), port
        )
        self._supervise(process).observed = await self._ask(name)
        self._urls[name] = url(port)
        self._say(f"{name} is ready")

    def _start_service(self, service: catalog.Service) -> Process:
        env = environment.of_service(service, self._catalog.services, self._state, self._urls)
        argv = [sys.executable, "-m", "lucid", "serve", service.name]
        return self._processes.start(service.name, argv, self._state.log(service.name), env)

    def _supervise(self, process: Process) -> Supervised:
        program = Supervised(process, self._processes, self._say)
        self.programs.append(program)
        self._publish()
        return program

    async def _tend(self) -> None:
        while True:
            now = time.monotonic()
            changed = [program for program in self.programs if program.tend(now)]
            if changed:
                self._publish()
            await asyncio.sleep(TURN_SECONDS)

    async def _observe(self) -> None:
        while True:
            for program in self.programs:
                if program.process is not None:
                    program.observed = await self._ask(program.name)
            await asyncio.sleep(PROBE_SECONDS)

    async def _ask(self, name: str) -> Observed:
        return await ask(self._prober, self._catalog, name)

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self._publish()

    def _publish(self) -> None:
        programs = tuple(
            running.Program(p.name, p.process.pid if p.process else None, p.restarts, str(p.log))
            for p in self.programs
        )
        found = running.Running(
            pid=os.getpid(),
            state=self.phase,
            started_ms=self._started_ms,
            api=self.api,
            ca=str(self._state.tls / "ca.crt"),
            operator=str(self._state.operator),
            mongodb_url=self._urls.get("mongodb", ""),
            redis_url=self._urls.get("redis", ""),
            programs=programs,
        )
        running.publish(self._state, found)


async def ask(prober: Prober, names: catalog.Catalog, name: str) -> Observed:
    """How a service or a database is."""
    if store := names.stores.get(name):
        return await prober.port(store.local_port)
    return await prober.service(names.services[name])


def _give_up_if_hopeless(program: Supervised, until: float) -> None:
    """Raises StackError if a program that isn't ready has ended or its time is over."""
    process = program.process
    if process is not None and process.status is not None:
        why = process.ending
    elif time.monotonic() > until:
        why = f"is not ready after {READY_SECONDS:g} s: {program.observed.detail or program.observed.status}"
    else:
        return
    words = process.last_words() if process else ""
    raise StackError(f"{program.name} {why}; the end of its log, {program.log}:\n{words}")
