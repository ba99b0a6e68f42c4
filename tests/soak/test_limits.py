"""Limits under 50,000 requests from 64 clients over four processes: exactly as many as allowed."""

import time

import pytest

from tests.gateway.limits.crowd import Crowd
from tests.gateway.limits.crowds import admitted_in
from tests.gateway.limits.sites import tier

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("limit", [1, 16, 999, 10_000, 49_999, 50_000])
async def test_fifty_thousand_requests_get_exactly_the_limit(redis_url: str, limit: int) -> None:
    name = tier(limit).name
    begin = time.perf_counter()
    counts = await admitted_in(4, Crowd(redis_url, name, limit, clients=16, requests=12_500))
    seconds = time.perf_counter() - begin
    print(f"limit {limit:6}: admitted {counts} in {seconds:.1f} s")  # noqa: T201 - the figures themselves
    assert sum(counts) == limit
