"""Background tasks that cannot die unnoticed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from aiohttp import web

from lucid.kit import context, metrics
from lucid.kit.logs import log

T = TypeVar("T")
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
CANCEL_SECONDS = 0.5


class Tasks:
    """The background tasks of one process. A task that fails is logged, counted and started again."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._failing: dict[str, str] = {}

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Runs `work` until it returns; on an error again after a pause that doubles up to 30 s."""
        if name in self._tasks:
            raise ValueError(f"background task {name} is already running")
        task = asyncio.create_task(self._guard(name, work), name=name, context=context.detached())
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._tasks.pop(name, None))

    def running(self, name: str) -> bool:
        """Whether the task is still at work (or waiting to try again)."""
        return name in self._tasks

    async def ended(self, name: str) -> None:
        """Returns when the task is no longer at work."""
        if task := self._tasks.get(name):
            await asyncio.wait([task])

    async def cancel(self, name: str) -> None:
        """Ends a task that is not wanted any more; returns when it is no longer at work."""
        if task := self._tasks.get(name):
            task.cancel()
            await asyncio.wait([task])

    @property
    def failing(self) -> dict[str, str]:
        """Tasks that have not yet run again for as long as they waited, with the error that stopped them."""
        return dict(self._failing)

    async def _guard(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE
        try:
            while True:
                begin = loop.time()
                recovered = loop.call_later(pause, self._failing.pop, name, None)
                try:
                    return await work()
                except (Exception, asyncio.CancelledError) as error:
                    # Cancelled from within, by something that it awaited, it failed like any other.
                    if isinstance(error, asyncio.CancelledError) and _being_cancelled():
                        raise
                    if loop.time() - begin > LONGEST_PAUSE:
                        pause = FIRST_PAUSE
                    metrics.task_failures_total.labels(name.partition(":")[0]).inc()
                    self._failing[name] = f"{type(error).__name__}: {error}"
                    log.exception("background task failed", task=name, retry_in_seconds=pause)
                finally:
                    recovered.cancel()
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
        finally:
            self._failing.pop(name, None)

    async def close(self) -> None:
        """Cancels every task and waits for them to end.

        More than once if need be: pymongo 4.20 swallows some cancellations that meet an operation in progress
        (measured: 41 of 400 on a cursor).
        """
        tasks = set(self._tasks.values())
        while tasks:
            for task in tasks:
                task.cancel()
            _, tasks = await asyncio.wait(tasks, timeout=CANCEL_SECONDS)


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Awaits what has to be done whole, such as closing what was opened, though it is cancelled meanwhile.

    The cancellation goes on afterwards. Raises what `work` raises.
    """
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    found = task.result()
    if cancelled is not None:
        raise cancelled
    return found


TASKS = web.AppKey("tasks", Tasks)


async def tasks_context(app: web.Application) -> AsyncIterator[None]:
    """Ends the background tasks when the service stops."""
    yield
    await app[TASKS].close()
