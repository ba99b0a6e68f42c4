"""Sessions that are looked after side by side."""

import asyncio

import pytest

from lucid.kit.mongo import Document
from lucid.sessions.abreast import AT_ONCE, abreast


async def test_those_that_wait_keep_the_others_waiting_only_where_there_are_too_many() -> None:
    sessions: list[Document] = [{"_id": str(number)} for number in range(3 * AT_ONCE)]
    back, order, running = asyncio.Event(), list[int](), 0

    async def work(session: Document) -> None:
        nonlocal running
        running += 1
        assert running <= AT_ONCE
        number = int(session["_id"])
        if number < AT_ONCE - 1:  # on a host that is away
            await back.wait()
        order.append(number)
        if number == len(sessions) - 1:
            back.set()
        running -= 1

    async with asyncio.timeout(5):
        await abreast(sessions, work)
    assert order[: 2 * AT_ONCE + 1] == list(range(AT_ONCE - 1, 3 * AT_ONCE))
    assert sorted(order) == list(range(3 * AT_ONCE))


async def test_an_error_that_nobody_foresaw_is_told() -> None:
    async def work(_: Document) -> None:
        raise ValueError("unforeseen")

    with pytest.raises(ExceptionGroup) as caught:
        await abreast([{"_id": "a"}], work)
    assert caught.group_contains(ValueError, match="unforeseen")
