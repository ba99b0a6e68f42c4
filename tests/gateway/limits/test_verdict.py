"""What callers are told about their limits."""

import math

from lucid.gateway.limits.tiers import KeyedBy, Tier
from lucid.gateway.limits.verdict import UNKNOWN_SECONDS, UNLIMITED, Verdict, headers, refusal, too_fast
from lucid.kit.errors import Code

TIER = Tier(name="public", capacity=200, rate=100 / 60, keyed_by=KeyedBy.ADDRESS)
ONCE = Tier(name="once", capacity=10, rate=0.0, keyed_by=KeyedBy.USER)
BYTES = Tier(name="upload", capacity=20, rate=10.0, keyed_by=KeyedBy.SESSION, patience=5.0)


class TestAnAdmittedRequest:
    def test_says_how_many_are_left_and_when_all_are_back(self) -> None:
        assert headers(Verdict(TIER, admitted=True, tokens=150.9)) == {
            "RateLimit-Limit": "200",
            "RateLimit-Remaining": "150",
            "RateLimit-Reset": str(math.ceil(49.1 * 0.6)),
        }

    def test_that_counts_for_several_is_told_in_requests(self) -> None:
        verdict = Verdict(TIER, admitted=True, tokens=150.0, weight=10)
        assert (verdict.limit, verdict.remaining) == (20, 15)

    def test_without_limits_says_nothing(self) -> None:
        assert headers(UNLIMITED) == {}


class TestARefusedRequest:
    def test_says_when_to_come_back(self) -> None:
        verdict = Verdict(TIER, admitted=False, tokens=0.0)
        assert headers(verdict)["Retry-After"] == "1"
        assert headers(verdict)["RateLimit-Remaining"] == "0"
        assert Verdict(TIER, admitted=False, tokens=0.0, cost=5).retry_after == 3

    def test_of_what_never_comes_back_says_a_minute(self) -> None:
        verdict = Verdict(ONCE, admitted=False, tokens=0.0)
        assert (verdict.retry_after, verdict.reset) == (UNKNOWN_SECONDS, UNKNOWN_SECONDS)

    def test_is_3001_with_the_time_to_wait(self) -> None:
        error = refusal(TIER, Verdict(TIER, admitted=False, tokens=0.0))
        assert (error.code, error.code.status, error.details["retry_after"]) == (Code.RATE, 429, 1)

    def test_of_too_many_bytes_is_3004(self) -> None:
        error = too_fast(BYTES, tokens=-50.0, amount=25)
        assert (error.code, error.code.status, error.details["retry_after"]) == (Code.BANDWIDTH, 429, 3)
