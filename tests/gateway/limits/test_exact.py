"""Exactly as many as the limit says, whatever the number of workers. The long run is in tests/soak."""

from tests.gateway.limits.crowd import Crowd
from tests.gateway.limits.crowds import admitted_in
from tests.gateway.limits.sites import tier


async def test_four_processes_admit_exactly_the_limit(redis_url: str) -> None:
    crowd = Crowd(redis_url, tier(1234).name, 1234, clients=16, requests=2000)
    assert sum(await admitted_in(4, crowd)) == 1234


async def test_below_the_limit_everybody_who_goes_on_asking_is_admitted(redis_url: str) -> None:
    crowd = Crowd(redis_url, tier(4000).name, 4000, clients=16, requests=1000, again=True)
    assert await admitted_in(4, crowd) == [1000] * 4
