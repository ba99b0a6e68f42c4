"""Exactly as many as the limit says, through gateways as they run on hosts. The long run is in tests/soak."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lucid.gateway.limits.lease import LEASE_SECONDS
from tests.gateway.limits.front import Front, Limits, crowd, two_gateways

LIMITS = Limits(public=1, user=1000, admin=600)
BACK_SECONDS = LEASE_SECONDS + 1.0
"""After this a worker has given back what it leased and did not use: it looks four times a second."""


@pytest.fixture
async def front(tmp_path: Path, mongodb_url: str, redis_url: str) -> AsyncIterator[Front]:
    async with two_gateways(tmp_path, mongodb_url, redis_url, LIMITS) as made:
        yield made


async def test_two_gateways_together_admit_exactly_the_limit(front: Front) -> None:
    assert [len(group) for group in front.clients] == [16] * 4
    assert await front.crowd(5000, "/things", front.user) == {200: LIMITS.user, 429: 5000 - LIMITS.user}
    assert front.reached == LIMITS.user
    assert await front.crowd(500, "/open") == {200: 1, 429: 499}

    # An admin who stops half-way leaves leases unspent at all workers. For the second that these last a
    # single worker may refuse too early, never admit too many; then all that was left can be had there.
    assert await front.crowd(300, "/things", front.admin) == {200: 300}
    alone = front.clients[-1][:1]
    early = await crowd(alone, 400, "/things", front.admin)
    await asyncio.sleep(BACK_SECONDS)
    late = await crowd(alone, 400, "/things", front.admin)
    assert 300 + early[200] + late[200] == LIMITS.admin
    await asyncio.sleep(BACK_SECONDS)
    assert await front.crowd(200, "/things", front.admin) == {429: 200}
