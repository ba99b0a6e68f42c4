"""The list of ended logins as a gateway keeps it."""

import asyncio
import time

import pytest
from aiohttp import web

from lucid.kit import revocations
from lucid.kit.errors import Code, LucidError, Unauthenticated, Unavailable
from lucid.kit.revocations import REVOCATIONS, Revocation, RevocationPage, Revocations
from lucid.kit.tasks import TASKS, Tasks, tasks_context
from lucid.kit.tokens import Claims


class Log:
    """auth-service's numbered list, two to a page, counted, and away if so wished."""

    def __init__(self) -> None:
        self.ended: list[Revocation] = []
        self.asked = 0
        self.failure: LucidError | None = None
        self.open = asyncio.Event()
        self.open.set()
        self.third = asyncio.Event()

    def end(self, session: str, expires: float | None = None) -> None:
        until = int(time.time() + 900 if expires is None else expires)
        self.ended.append(Revocation(number=len(self.ended) + 1, session=session, expires=until))

    async def fetch(self, after: int) -> RevocationPage:
        self.asked += 1
        if self.asked == 3:
            self.third.set()
        found = tuple(each for each in self.ended if each.number > after)[:2]
        last = len(self.ended)
        await self.open.wait()
        if self.failure is not None:
            raise self.failure
        return RevocationPage(revocations=found, last=last)


def claims(session: str) -> Claims:
    return Claims(sub="anna", role="user", sid=session, iat=0, nbf=0, exp=0, jti="", iss="", aud="")


def refused(feed: Revocations, session: str) -> Code:
    with pytest.raises(LucidError) as caught:
        feed.check(claims(session))
    return caught.value.code


class TestChecking:
    async def test_refuses_ended_logins_and_no_others(self) -> None:
        log = Log()
        feed = Revocations(log.fetch)
        for name in "abcde":
            log.end(name)
        await feed.refresh()
        assert {refused(feed, name) for name in "abcde"} == {Code.LOGIN_ENDED}
        feed.check(claims("f"))

    async def test_is_503_before_there_is_a_list_and_when_it_is_old(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log = Log()
        feed = Revocations(log.fetch)
        with pytest.raises(Unavailable) as caught:
            feed.check(claims("a"))
        assert (caught.value.code, caught.value.code.status) == (Code.UNAVAILABLE, 503)
        await feed.refresh()
        feed.check(claims("a"))
        monkeypatch.setattr(revocations, "STALE_SECONDS", 0.0)
        assert refused(feed, "a") is Code.UNAVAILABLE

    async def test_goes_on_with_the_list_at_hand_while_a_new_one_cannot_be_had(self) -> None:
        log = Log()
        feed = Revocations(log.fetch)
        log.end("a")
        await feed.refresh()
        log.failure = Unavailable("auth-service is restarted")
        with pytest.raises(Unavailable):
            await feed.refresh()
        feed.check(claims("b"))
        assert refused(feed, "a") is Code.LOGIN_ENDED


class TestRefreshing:
    async def test_shows_what_was_ended_before_it_was_asked_for(self) -> None:
        log = Log()
        feed = Revocations(log.fetch)
        log.open.clear()
        early = asyncio.create_task(feed.refresh())
        await asyncio.sleep(0)
        log.end("a")  # the fetch under way has not seen it
        late = [asyncio.create_task(feed.refresh()) for _ in range(10)]
        await asyncio.sleep(0)
        log.open.set()
        await asyncio.gather(early, *late)
        assert refused(feed, "a") is Code.LOGIN_ENDED
        assert log.asked == 3  # the early one's, the late ones' together, and the end of their list

    async def test_forgets_what_no_token_can_belong_to_any_more(self) -> None:
        log = Log()
        feed = Revocations(log.fetch)
        log.end("old", time.time() - 60)
        log.end("new")
        await feed.refresh()
        feed.check(claims("old"))
        assert refused(feed, "new") is Code.LOGIN_ENDED

    async def test_reads_all_anew_when_the_numbers_begin_anew(self) -> None:
        log = Log()
        feed = Revocations(log.fetch)
        for name in "abc":
            log.end(name)
        await feed.refresh()
        log.ended.clear()
        log.end("x")
        await feed.refresh()
        assert {refused(feed, name) for name in "ax"} == {Code.LOGIN_ENDED}


class TestFollowing:
    async def test_keeps_the_list_fresh_through_failures(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(revocations, "POLL_SECONDS", 0.01)
        log = Log()
        app = web.Application()
        app[TASKS] = Tasks()
        app.cleanup_ctx.extend([revocations.context(Revocations(log.fetch)), tasks_context])
        log.failure = Unavailable("away")
        runner = web.AppRunner(app)
        await runner.setup()
        await log.third.wait()
        log.failure = None
        log.end("a")
        async with asyncio.timeout(5):
            while True:
                try:
                    app[REVOCATIONS].check(claims("a"))
                except Unauthenticated:
                    break
                except Unavailable:
                    await asyncio.sleep(0.01)
        await runner.cleanup()
        asked = log.asked
        await asyncio.sleep(0.05)
        assert log.asked == asked
