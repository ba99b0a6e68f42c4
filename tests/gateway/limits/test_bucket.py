"""The bucket of one process: what any limiter may admit at most."""

from hypothesis import given
from hypothesis import strategies as st

from lucid.gateway.limits.bucket import Bucket
from tests.gateway.limits.sites import tier


def test_a_full_one_gives_its_capacity_and_no_more() -> None:
    kind = tier(3)
    bucket = Bucket(kind, 0.0)
    assert [bucket.take(kind, 1, 0.0) for _ in range(5)] == [True, True, True, False, False]


def test_it_refills_at_its_rate_up_to_its_capacity() -> None:
    kind = tier(10, rate=2.0)
    bucket = Bucket(kind, 0.0)
    assert bucket.take(kind, 10, 0.0)
    assert not bucket.take(kind, 1, 0.4)
    assert bucket.take(kind, 1, 0.5)
    assert not bucket.take(kind, 11, 1000.0)
    assert bucket.take(kind, 10, 1000.0)


def test_a_refusal_takes_nothing() -> None:
    kind = tier(3)
    bucket = Bucket(kind, 0.0)
    assert not bucket.take(kind, 4, 0.0)
    assert bucket.take(kind, 3, 0.0)


def test_debts_are_limited_by_patience() -> None:
    kind = tier(10, rate=10.0, patience=2.0)
    bucket = Bucket(kind, 0.0)
    assert bucket.take(kind, 30, 0.0)
    assert not bucket.take(kind, 1, 0.0)
    assert bucket.take(kind, 1, 0.1)


def test_a_clock_that_stands_still_or_goes_back_refills_nothing() -> None:
    kind = tier(1, rate=1.0)
    bucket = Bucket(kind, 10.0)
    assert bucket.take(kind, 1, 10.0)
    assert not bucket.take(kind, 1, 5.0)


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(1, 5)), max_size=60))
def test_no_stretch_of_time_admits_more_than_capacity_and_refill(steps: list[tuple[float, int]]) -> None:
    kind = tier(7, rate=3.0)
    bucket, now = Bucket(kind, 0.0), 0.0
    taken: list[tuple[float, int]] = []
    for pause, cost in steps:
        now += pause
        if bucket.take(kind, cost, now):
            taken.append((now, cost))
    for i, (begin, _) in enumerate(taken):
        for j in range(i, len(taken)):
            total = sum(cost for _, cost in taken[i : j + 1])
            assert total <= 7 + 3.0 * (taken[j][0] - begin) + 1e-6
