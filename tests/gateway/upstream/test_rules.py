"""When services are rested, replicas put out and requests repeated: the pure rules."""

from lucid.gateway.upstream.balancing import Balancer, EjectionRule, Replica
from lucid.gateway.upstream.breaker import Breaker, BreakerRule
from lucid.gateway.upstream.retries import RetryBudget


def replicas(count: int) -> list[Replica]:
    return [Replica("127.0.0.1", 8000 + i, tls=False) for i in range(count)]


class TestBreaker:
    def opened(self) -> Breaker:
        breaker = Breaker(BreakerRule(failures=5, seconds=60, successes=2))
        assert [breaker.failed(0) for _ in range(5)] == [False] * 4 + [True]
        return breaker

    def test_opens_at_the_fifth_failure_in_a_row_and_not_before(self) -> None:
        breaker = Breaker(BreakerRule())
        for _ in range(20):
            for _ in range(4):
                assert not breaker.failed(0)
            breaker.succeeded(0)
            assert breaker.admit(0) == 0
        assert self.opened().state(0) == "open"

    def test_says_how_long_to_wait_while_it_is_open(self) -> None:
        breaker = self.opened()
        assert (breaker.admit(0), breaker.admit(59), breaker.state(59)) == (60, 1, "open")

    def test_lets_one_request_at_a_time_try_after_that(self) -> None:
        breaker = self.opened()
        assert breaker.state(60) == "half-open"
        assert breaker.admit(60) == 0
        assert breaker.admit(60) > 0
        breaker.over()
        assert breaker.admit(60) == 0

    def test_closes_after_two_successes_and_forgets_what_was(self) -> None:
        breaker = self.opened()
        breaker.succeeded(60)
        assert breaker.state(60) == "half-open"
        breaker.succeeded(61)
        assert breaker.state(61) == "closed"
        assert [breaker.failed(61) for _ in range(5)] == [False] * 4 + [True]

    def test_opens_again_for_as_long_when_the_trial_fails(self) -> None:
        breaker = self.opened()
        breaker.succeeded(60)
        assert breaker.failed(60)
        assert (breaker.state(119), breaker.state(120)) == ("open", "half-open")
        breaker.succeeded(120)
        assert breaker.state(120) == "half-open"

    def test_is_not_moved_by_requests_that_end_while_it_is_open(self) -> None:
        breaker = self.opened()
        assert not breaker.failed(30)
        breaker.succeeded(30)
        breaker.succeeded(31)
        assert (breaker.state(59), breaker.state(60)) == ("open", "half-open")


class TestBalancer:
    def test_gives_to_whoever_has_the_fewest_running(self) -> None:
        balancer = Balancer(replicas(3), EjectionRule())
        loads = {replica.port: load for replica, load in zip(balancer.replicas, (5, 1, 2), strict=True)}
        for replica in balancer.replicas:
            replica.running = loads[replica.port]
        for _ in range(12):
            balancer.pick(0).running += 1
        assert {replica.running for replica in balancer.replicas} <= {6, 7}

    def test_equals_take_turns(self) -> None:
        balancer = Balancer(replicas(3), EjectionRule())
        assert [balancer.pick(0).port for _ in range(6)] == [8000, 8001, 8002, 8000, 8001, 8002]

    def test_puts_out_after_three_failures_in_a_row_for_thirty_seconds(self) -> None:
        balancer = Balancer(replicas(2), EjectionRule())
        bad = balancer.pick(0)
        assert [balancer.failed(bad, 100) for _ in range(3)] == [False, False, True]
        assert bad not in {balancer.pick(129.9) for _ in range(4)}
        assert bad in {balancer.pick(130) for _ in range(4)}

    def test_a_success_in_between_starts_the_count_anew(self) -> None:
        balancer = Balancer(replicas(2), EjectionRule())
        one = balancer.pick(0)
        for _ in range(5):
            assert not balancer.failed(one, 0)
            assert not balancer.failed(one, 0)
            balancer.succeeded(one)

    def test_avoids_those_already_tried_but_uses_all_rather_than_none(self) -> None:
        balancer = Balancer(replicas(2), EjectionRule(failures=1))
        first = balancer.pick(0)
        assert balancer.pick(0, [first]) is not first
        for replica in list(balancer.replicas):
            balancer.failed(replica, 0)
        assert balancer.pick(1) in balancer.replicas


class TestRetryBudget:
    def test_repeats_a_share_of_what_is_asked(self) -> None:
        budget = RetryBudget(share=0.25, floor=0, most=100)
        for _ in range(100):
            budget.asked()
        assert sum(budget.take(1) for _ in range(100)) == 25

    def test_gives_a_quiet_service_a_few_and_saves_no_more(self) -> None:
        budget = RetryBudget(share=0.2, floor=1)
        assert sum(budget.take(1) for _ in range(50)) == 10
        assert sum(budget.take(4) for _ in range(50)) == 3
        assert sum(budget.take(1000) for _ in range(50)) == 10

    def test_saves_no_more_than_its_most_however_much_is_asked(self) -> None:
        budget = RetryBudget(share=0.2, floor=0, most=30)
        for _ in range(100_000):
            budget.asked()
        assert sum(budget.take(1) for _ in range(1000)) == 30
