"""Requests to a struggling upstream count for more, for as long as it struggles."""

import math

from hypothesis import given
from hypothesis import strategies as st

from lucid.gateway.limits.adaptive import Pressure

UPSTREAM = "session-api"


def seconds_of(
    pressure: Pressure, seconds: int, *, start: int = 0, failing: int = 0, slow: float = 0.01
) -> list[int]:
    """Ten answers in each second, the first `failing` of them failures; the weight after each second."""
    weights = []
    for second in range(start, start + seconds):
        for i in range(10):
            pressure.observe(UPSTREAM, slow, i < failing, second + i / 10)
        weights.append(pressure.weight(UPSTREAM, second + 1.0))
    return weights


def test_an_upstream_that_does_well_counts_one() -> None:
    assert seconds_of(Pressure(1.0), 5, failing=1) == [1] * 5


def test_one_that_nobody_has_heard_of_counts_one() -> None:
    assert Pressure(1.0).weight("unknown", 5.0) == 1


def test_failures_raise_it_second_by_second_up_to_ten() -> None:
    weights = seconds_of(Pressure(1.0), 10, failing=5)
    assert weights == sorted(weights)
    assert weights[0] == 2
    assert weights[-1] == 10


def test_slow_answers_raise_it_too() -> None:
    assert seconds_of(Pressure(1.0), 10, slow=1.5)[-1] == 10


def test_it_recovers_slowly_once_all_is_well() -> None:
    pressure = Pressure(1.0)
    seconds_of(pressure, 10, failing=10)
    weights = seconds_of(pressure, 20, start=10)
    assert weights == sorted(weights, reverse=True)
    assert weights[0] == 7
    assert weights[-1] == 1


def test_it_recovers_while_nobody_asks() -> None:
    pressure = Pressure(1.0)
    seconds_of(pressure, 10, failing=10)
    assert pressure.weight(UPSTREAM, 15.0) < 10
    assert pressure.weight(UPSTREAM, 40.0) == 1


def test_a_few_failures_say_nothing() -> None:
    pressure = Pressure(1.0)
    for second in range(10):
        pressure.observe(UPSTREAM, 0.01, True, float(second))
    assert pressure.weight(UPSTREAM, 10.0) == 1


def test_one_upstream_is_not_another() -> None:
    pressure = Pressure(1.0)
    seconds_of(pressure, 5, failing=10)
    assert pressure.weight("auth-service", 5.0) == 1


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 5), st.booleans()), max_size=200))
def test_it_is_a_whole_number_from_1_to_10(answers: list[tuple[float, float, bool]]) -> None:
    pressure, now = Pressure(1.0), 0.0
    for pause, seconds, failed in answers:
        now += pause
        pressure.observe(UPSTREAM, seconds, failed, now)
        weight = pressure.weight(UPSTREAM, now)
        assert 1 <= weight <= 10
        assert weight == math.floor(weight)
