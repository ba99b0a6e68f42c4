"""Mail addresses as account names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucid.auth.mail import normalise
from lucid.kit.errors import Code, Invalid


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ("Anna@Example.ORG", "anna@example.org"),
        ("first.last+tag@sub.example.org", "first.last+tag@sub.example.org"),
        ("operator@localhost", "operator@localhost"),
        ("a" * 64 + "@example.org", "a" * 64 + "@example.org"),
    ],
)
def test_an_address_is_kept_in_lower_case(given_: str, kept: str) -> None:
    assert normalise(given_) == kept


@pytest.mark.parametrize(
    "text",
    [
        "",
        "anna",
        "@example.org",
        "anna@",
        "anna@@example.org",
        "anna@exa mple.org",
        " anna@example.org",
        "anna@example.org\n",
        ".anna@example.org",
        "an..na@example.org",
        "anna.@example.org",
        "anna@-example.org",
        "anna@example..org",
        "anna@example.org.",
        "änna@example.org",
        '"anna"@example.org',
        "anna@[127.0.0.1]",
        "a" * 65 + "@example.org",
        "anna@" + "a" * 64 + ".org",
        "anna@" + ".".join(["a" * 60] * 5),
    ],
)
def test_what_is_no_address_is_refused_with_1006(text: str) -> None:
    with pytest.raises(Invalid) as refusal:
        normalise(text)
    assert refusal.value.code is Code.MAIL_ADDRESS


@given(st.text(max_size=300))
def test_any_text_is_normalised_once_and_for_all_or_refused(text: str) -> None:
    try:
        kept = normalise(text)
    except Invalid:
        return
    assert normalise(kept) == kept
