"""What travels with a request."""

import time

import pytest

from lucid.kit import context


class TestRequestIds:
    @pytest.mark.parametrize("offered", ["12345678", "a" * 64, "A-b_c.d-9"])
    def test_fit_for_a_log_line_are_taken(self, offered: str) -> None:
        assert context.new_request_id(offered) == offered

    @pytest.mark.parametrize(
        "offered", [None, "", "1234567", "a" * 65, 'quote"8888', "ünïcödé8", "a b c d e"]
    )
    def test_of_other_kinds_are_replaced(self, offered: str | None) -> None:
        assert len(context.new_request_id(offered)) == 32

    def test_are_fresh_each_time(self) -> None:
        assert context.new_request_id(None) != context.new_request_id(None)


class TestRemaining:
    async def test_is_the_default_without_a_deadline(self) -> None:
        assert context.remaining(7.0) == 7.0

    async def test_is_what_is_left_and_never_more_than_the_default(self) -> None:
        context.deadline.set(time.monotonic() + 5)
        assert 4.9 < context.remaining(7.0) <= 5
        assert context.remaining(2.0) == 2.0

    async def test_is_never_negative(self) -> None:
        context.deadline.set(time.monotonic() - 5)
        assert context.remaining(7.0) == 0.0
