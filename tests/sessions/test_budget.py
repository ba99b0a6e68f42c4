"""A budget is never overdrawn, comes back, and is served in order."""

import asyncio

import pytest

from lucid.sessions.budget import Budget


async def test_no_more_is_held_at_once_than_there_is() -> None:
    budget, held, most = Budget(10), 0, 0

    async def work(size: int) -> None:
        nonlocal held, most
        async with budget.take(size):
            held += size
            most = max(most, held)
            await asyncio.sleep(0.001)
            held -= size

    await asyncio.gather(*(work(1 + n % 7) for n in range(60)))
    assert held == 0
    assert 7 <= most <= 10


async def test_whoever_asks_first_is_served_first_even_if_it_wants_more() -> None:
    budget, order = Budget(10), list[str]()

    async def work(name: str, size: int) -> None:
        async with budget.take(size):
            order.append(name)
            await asyncio.sleep(0.01)

    await asyncio.gather(work("first", 6), work("large", 10), work("small", 1))
    assert order == ["first", "large", "small"]


async def test_more_than_all_counts_as_all() -> None:
    async with asyncio.timeout(10), Budget(10).take(1000):
        pass


async def test_what_fails_gives_back_and_what_is_cancelled_in_line_takes_nothing() -> None:
    budget = Budget(1)
    with pytest.raises(ZeroDivisionError):
        async with budget.take(1):
            raise ZeroDivisionError
    async with budget.take(1):
        waiting = asyncio.create_task(budget.take(1).__aenter__())
        await asyncio.sleep(0.01)
        waiting.cancel()
    async with asyncio.timeout(10), budget.take(1):
        pass
