"""Limits under 50,000 requests from 64 clients over four workers: exactly as many as allowed."""

import time
from pathlib import Path

import pytest

from tests.gateway.limits.crowd import Crowd
from tests.gateway.limits.crowds import admitted_in
from tests.gateway.limits.front import Limits, two_gateways
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


@pytest.mark.parametrize("limit", [1, 1000, 20_000])
async def test_two_gateways_admit_exactly_the_limit_of_fifty_thousand(
    tmp_path: Path, mongodb_url: str, redis_url: str, limit: int
) -> None:
    limits = Limits(public=limit, user=limit, admin=limit)
    async with two_gateways(tmp_path, mongodb_url, redis_url, limits) as front:
        for path, token in (("/things", front.user), ("/things", front.admin), ("/open", None)):
            begin, before = time.perf_counter(), front.reached
            answers = await front.crowd(50_000, path, token)
            seconds = time.perf_counter() - begin
            print(f"limit {limit:6}: {dict(answers)} in {seconds:.1f} s")  # noqa: T201 - the figures themselves
            assert answers == {200: limit, 429: 50_000 - limit}
            assert front.reached - before == limit
