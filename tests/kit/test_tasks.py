"""Background tasks: none dies unnoticed."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import web
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from lucid.kit import context
from lucid.kit.app import Handlers, build
from lucid.kit.health import CHECKS
from lucid.kit.tasks import TASKS, Tasks, to_its_end
from tests.kit import parrot

pytestmark = pytest.mark.quiet


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lucid.kit.tasks.FIRST_PAUSE", 0.05)


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    made = Tasks()
    yield made
    await made.close()


def failures(task: str) -> float:
    return REGISTRY.get_sample_value("lucid_background_failures_total", {"task": task}) or 0.0


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(3):
        while not condition():  # noqa: ASYNC110 - the tasks under test tell nobody
            await asyncio.sleep(0.005)


class TestATaskThatFails:
    async def test_is_logged_counted_shown_and_tried_again(self, tasks: Tasks) -> None:
        tries: list[float] = []

        async def work() -> None:
            tries.append(time.monotonic())
            if len(tries) < 3:
                raise ValueError("not yet")

        before = failures("upload")
        with capture_logs() as logged:
            tasks.start("upload:session-7", work)
            await until(lambda: len(tries) == 1)
            await asyncio.sleep(0)
            assert tasks.failing == {"upload:session-7": "ValueError: not yet"}
            await tasks.ended("upload:session-7")
        assert failures("upload") - before == 2
        assert tries[2] - tries[1] > 1.5 * (tries[1] - tries[0])
        assert tasks.failing == {}
        assert [line["log_level"] for line in logged] == ["error", "error"]
        assert {line["task"] for line in logged} == {"upload:session-7"}
        assert all(line["exc_info"] for line in logged)

    async def test_is_no_longer_shown_once_it_runs_again(self, tasks: Tasks) -> None:
        tries = 0

        async def work() -> None:
            nonlocal tries
            tries += 1
            if tries == 1:
                raise ValueError("once")
            await asyncio.sleep(60)

        tasks.start("loop", work)
        await until(lambda: tasks.failing)
        await until(lambda: tries == 2)
        await until(lambda: not tasks.failing)
        assert tasks.running("loop")

    async def test_by_a_cancellation_from_within_is_tried_again(self, tasks: Tasks) -> None:
        tries = 0

        async def work() -> None:
            nonlocal tries
            tries += 1
            if tries == 1:
                inner = asyncio.create_task(asyncio.sleep(60))
                inner.cancel()
                await inner

        tasks.start("loop", work)
        await tasks.ended("loop")
        assert tries == 2

    async def test_degrades_the_service(self) -> None:
        app = build(parrot.SERVICE, Handlers())

        async def work() -> None:
            raise ValueError("no")

        app[TASKS].start("loop", work)
        await until(lambda: app[TASKS].failing)
        report = await app[CHECKS].run(app)
        assert (report.status, report.failing_tasks) == ("degraded", {"loop": "ValueError: no"})
        await app[TASKS].close()
        assert (await app[CHECKS].run(app)).status == "healthy"


class TestATask:
    async def test_ends_when_its_work_is_done(self, tasks: Tasks) -> None:
        done = asyncio.Event()

        async def work() -> None:
            done.set()

        tasks.start("once", work)
        assert tasks.running("once")
        await tasks.ended("once")
        assert done.is_set()
        assert not tasks.running("once")
        await tasks.ended("once")

    async def test_is_cancelled_and_awaited_when_the_service_stops(self, tasks: Tasks) -> None:
        seen: list[str] = []

        async def work() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0.01)
                seen.append("tidied up")

        tasks.start("loop", work)
        await asyncio.sleep(0)
        await tasks.close()
        assert seen == ["tidied up"]
        assert not tasks.running("loop")

    async def test_runs_once_at_a_time(self, tasks: Tasks) -> None:
        async def work() -> None:
            await asyncio.sleep(60)

        tasks.start("loop", work)
        with pytest.raises(ValueError, match="background task loop is already running"):
            tasks.start("loop", work)

    async def test_outlives_the_request_that_started_it(self, tasks: Tasks) -> None:
        """Its calls must not end with the deadline of that request, nor speak for its caller for ever."""
        context.request_id.set("request-0001")
        context.deadline.set(time.monotonic() - 1)
        context.authorization.set("Bearer token")
        seen: list[object] = []

        async def work() -> None:
            seen.extend((context.remaining(10.0), context.authorization.get(), context.request_id.get()))

        tasks.start("once", work)
        await tasks.ended("once")
        assert seen == [10.0, None, "request-0001"]
        assert context.remaining(10.0) == 0.0


class TestWhatIsDoneToItsEnd:
    async def test_is_done_however_often_its_caller_is_cancelled(self) -> None:
        done = []

        async def close() -> None:
            for part in range(3):
                await asyncio.sleep(0.05)
                done.append(part)

        closing = asyncio.create_task(to_its_end(close()))
        for _ in range(4):
            await asyncio.sleep(0.02)
            closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert done == [0, 1, 2]

    async def test_says_what_came_of_it(self) -> None:
        async def answer() -> int:
            return 7

        async def fail() -> None:
            raise OSError("no")

        assert await to_its_end(answer()) == 7
        with pytest.raises(OSError, match="no"):
            await to_its_end(fail())


async def test_a_service_that_stops_ends_its_tasks_before_its_resources() -> None:
    order: list[str] = []

    async def work() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        order.append("task")

    async def resource(app: web.Application) -> AsyncIterator[None]:
        app[TASKS].start("loop", work)
        yield
        order.append("resource")

    app = build(parrot.SERVICE, Handlers(), resources=[resource])
    runner = web.AppRunner(app)
    await runner.setup()
    await asyncio.sleep(0)
    await runner.cleanup()
    assert order == ["task", "resource"]


async def test_a_task_that_is_not_wanted_any_more_is_ended(tasks: Tasks) -> None:
    tasks.start("waits", asyncio.Event().wait)  # type: ignore[arg-type]  # it never returns
    await tasks.cancel("waits")
    assert not tasks.running("waits")
    await tasks.cancel("waits")
    assert not tasks.failing
