"""Credits bound what is in flight, come back when reported or expired, and never go negative."""

from hypothesis import given
from hypothesis import strategies as st

from lucid.sessions.credits import Credits

chunks = st.tuples(st.just(0), st.integers(0, 30))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.sampled_from("abc"), st.lists(chunks, max_size=8)),
        st.tuples(st.just("done"), st.sampled_from("abc"), st.lists(chunks, max_size=8)),
        st.tuples(st.just("wait"), st.just("a"), st.just([])),
    ),
    max_size=40,
)


@given(steps)
def test_never_more_in_flight_than_allowed(sequence: list[tuple[str, str, list[tuple[int, int]]]]) -> None:
    credits_, now = Credits(total=6, per_session=4, lease_seconds=10), 0.0
    for kind, session, wanted in sequence:
        now += 6 if kind == "wait" else 0
        if kind == "ask":
            granted = credits_.grant(session, wanted, now)
            assert set(granted) <= set(wanted)
        elif kind == "done":
            credits_.give_back(session, wanted)
        assert 0 <= credits_.in_flight() <= 6
        assert all(credits_.in_flight(s) <= 4 for s in "abc")


def test_a_chunk_that_holds_a_credit_is_granted_again_without_another() -> None:
    credits_ = Credits(total=2, per_session=2, lease_seconds=10)
    assert credits_.grant("a", [(0, 0), (0, 1), (0, 2)], 0) == [(0, 0), (0, 1)]
    assert credits_.grant("a", [(0, 1)], 1) == [(0, 1)]
    assert credits_.in_flight("a") == 2


def test_leases_of_a_recorder_that_died_end_by_themselves() -> None:
    credits_ = Credits(total=1, per_session=1, lease_seconds=10)
    assert credits_.grant("dead", [(0, 0)], 0)
    assert not credits_.grant("alive", [(0, 0)], 9)
    assert credits_.grant("alive", [(0, 0)], 11)


def test_what_comes_back_can_be_granted_to_another_session() -> None:
    credits_ = Credits(total=1, per_session=1, lease_seconds=10)
    credits_.grant("a", [(0, 0)], 0)
    credits_.give_back("a", [(0, 0), (0, 7)])
    assert credits_.grant("b", [(0, 0)], 0) == [(0, 0)]
    credits_.drop("b")
    assert credits_.in_flight() == 0
