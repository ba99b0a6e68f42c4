"""A lease: used here, sized by demand, given back in time."""

from lucid.gateway.limits.lease import LEASE_SECONDS, REFUSED_SECONDS, Answer, Ask, Lease
from tests.gateway.limits.sites import tier


def lease(capacity: int = 100, rate: float = 0.0, *, tokens: int = 0, now: float = 0.0) -> Lease:
    made = Lease(tier(capacity, rate), "key", now)
    if tokens:
        made.receive(answer(tokens, capacity - tokens), now, now)
    return made


def answer(granted: int, left: float, *, need: int = 0) -> Answer:
    return Answer(need, granted, left, second=7)


class TestUse:
    def test_takes_from_what_is_in_hand(self) -> None:
        held = lease(tokens=3)
        assert [held.use(2, 0.5), held.use(2, 0.5), held.use(1, 0.5)] == [True, False, True]

    def test_ends_a_second_after_it_was_asked_for(self) -> None:
        held = lease()
        held.receive(answer(5, 95.0), asked=10.0, now=10.8)
        assert held.use(1, 10.0 + LEASE_SECONDS - 0.001)
        assert not held.use(1, 10.0 + LEASE_SECONDS)

    def test_of_nothing_is_refused(self) -> None:
        assert not lease().use(1, 0.0)


class TestSize:
    def test_is_nothing_extra_for_the_first_request(self) -> None:
        assert lease().wanted(100.0) == 0

    def test_follows_what_was_used_lately(self) -> None:
        held = lease(tokens=50)
        for _ in range(50):
            held.use(1, 0.1)
        assert held.wanted(0.1) == 100
        assert held.wanted(10.0) == 1

    def test_starts_anew_with_each_lease(self) -> None:
        held = lease(tokens=50)
        held.use(50, 0.1)
        held.receive(answer(10, 40.0), 0.1, 0.1)
        assert held.wanted(0.2) == 0


class TestGivingBack:
    def test_comes_with_the_next_question_and_only_once(self) -> None:
        held = lease()
        held.receive(answer(5, 95.0, need=1), 0.0, 0.0)
        held.use(2, 0.0)
        held.back += 1
        assert held.ask(3, 0.0) == Ask(held.tier, "key", need=3, more=40, back=4, settled=4, second=7)
        assert not held.use(1, 0.0)
        assert held.ask(0, 0.0) == Ask(held.tier, "key", need=0, second=7)

    def test_includes_what_was_granted_for_requests_that_have_gone(self) -> None:
        held = lease()
        held.receive(answer(7, 50.0, need=5), 0.0, 0.0)
        held.use(1, 0.0)
        held.trim()
        assert (held.tokens, held.back) == (2, 4)

    def test_includes_a_part_that_is_of_no_use(self) -> None:
        held = lease()
        held.receive(answer(3, 0.0, need=5), 0.0, 0.0)
        held.trim()
        assert not held.use(3, 0.0)
        assert held.ask(0, 0.0).back == 3

    def test_is_due_when_the_time_is_over_or_something_was_refunded(self) -> None:
        held = lease(tokens=5)
        assert not held.overdue(LEASE_SECONDS - 0.001)
        assert held.overdue(LEASE_SECONDS)
        refunded = lease()
        refunded.back += 1
        assert refunded.overdue(0.0)

    def test_what_is_held_keeps_it_from_being_forgotten(self) -> None:
        held = lease(tokens=5)
        assert not held.idle(1000.0, 5.0)
        held.ask(0, 0.0)
        assert held.idle(1000.0, 5.0)
        assert not held.idle(4.0, 5.0)

    def test_so_does_a_stand_in_that_is_not_full(self) -> None:
        held = lease(capacity=10, rate=0.1)
        held.stand_in(0.0).take(held.tier, 3, 0.0)
        assert not held.idle(20.0, 5.0)
        assert held.idle(31.0, 5.0)


class TestRefusal:
    def test_is_remembered_no_longer_than_others_may_give_back(self) -> None:
        held = lease()
        held.receive(answer(0, 0.0, need=1), 0.0, 0.0)
        held.refuse(1, 0.0)
        assert held.refuses(1, REFUSED_SECONDS - 0.001)
        assert not held.refuses(1, REFUSED_SECONDS)

    def test_is_remembered_no_longer_than_refill_takes(self) -> None:
        held = lease(rate=100.0)
        held.receive(answer(0, 0.0, need=1), 0.0, 0.0)
        held.refuse(1, 0.0)
        assert held.refuses(1, 0.009)
        assert not held.refuses(1, 0.011)

    def test_of_much_does_not_refuse_little(self) -> None:
        held = lease()
        held.receive(answer(0, 3.0, need=5), 0.0, 0.0)
        held.refuse(5, 0.0)
        assert held.refuses(6, 0.05)
        assert not held.refuses(2, 0.05)
