"""Figures as people read them."""

import pytest

from lucid.cli import output


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536 * 1024, "1.5 MiB"), (5 * 1024**4, "5120.0 GiB")],
)
def test_bytes(number: int, text: str) -> None:
    assert output.size(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.9, "0:00"), (61, "1:01"), (3599, "59:59"), (3661, "1:01:01")]
)
def test_clock(seconds: float, text: str) -> None:
    assert output.clock(seconds) == text


def test_a_span_without_an_end_is_a_dash() -> None:
    assert output.span(0, None) == "–"
    assert output.span(1000, 62_000) == "1:01"
