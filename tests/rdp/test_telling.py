"""What people are told to connect with: files, addresses and passwords that hold no surprises."""

import re

import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from lucid.kit.errors import Invalid
from lucid.rdp import one_time_password, rdp_file
from lucid.rdp.addresses import client_address, public_addresses

LINE = re.compile(r"[a-z]+( [a-z]+)*:[is]:[ -~]*")
CHANNELS = ("input.mouse", "input.keyboard", "clipboard.to_desktop", "clipboard.from_desktop")


def settings(text: str) -> dict[str, str]:
    """The file as clients read it: one setting a line, the type taken off."""
    return {line.split(":", 2)[0]: line.split(":", 2)[2] for line in text.splitlines()}


def rendered(*allowed: str, address: str = "192.0.2.7") -> dict[str, str]:
    return settings(
        rdp_file.render(address=address, port=13389, user="lucid", width=1280, height=720, allowed=allowed)
    )


class TestTheFile:
    def test_says_where_as_whom_and_that_the_password_is_asked_for(self) -> None:
        found = rendered()
        assert (found["full address"], found["username"]) == ("192.0.2.7:13389", "lucid")
        assert (found["desktopwidth"], found["desktopheight"]) == ("1280", "720")
        assert (found["prompt for credentials"], found["enablecredsspsupport"]) == ("1", "0")
        assert rendered(address="2001:db8::1")["full address"] == "[2001:db8::1]:13389"

    def test_offers_what_the_policy_allows_and_nothing_else(self) -> None:
        assert {
            name for name, value in rendered().items() if "redirect" in name and value not in {"0", ""}
        } == set()
        assert rendered(*CHANNELS)["audiomode"] == "2"
        for channel in ("clipboard.to_desktop", "clipboard.from_desktop"):
            assert rendered(channel)["redirectclipboard"] == "1"

    @settings_of_hypothesis(max_examples=60)
    @given(st.text(max_size=40), st.text(max_size=40), st.lists(st.sampled_from(CHANNELS)))
    def test_has_the_same_lines_whatever_is_put_into_it(
        self, address: str, user: str, allowed: list[str]
    ) -> None:
        try:
            text = rdp_file.render(address=address, port=1, user=user, width=640, height=480, allowed=allowed)
        except ValueError:
            return
        lines = text.split("\r\n")
        assert lines.pop() == ""
        assert text.splitlines() == lines
        assert all(LINE.fullmatch(line) for line in lines)
        assert list(settings(text)) == list(rendered())
        assert settings(text)["username"] == user

    @pytest.mark.parametrize("end", ["\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\x00", "é"])
    def test_takes_no_value_that_leaves_its_line(self, end: str) -> None:
        with pytest.raises(ValueError, match="would not stay within its line"):
            rendered(address=f"host{end}redirectdrives:i:1")


class TestPublicAddresses:
    def test_are_read_by_host(self) -> None:
        found = public_addresses(" rdp1=rdp1.example.org, rdp2=203.0.113.9,rdp3=2001:db8::3,")
        assert found == {"rdp1": "rdp1.example.org", "rdp2": "203.0.113.9", "rdp3": "2001:db8::3"}
        assert public_addresses("") == {}

    @pytest.mark.parametrize(
        "text", ["rdp1", "=a", "rdp1=", "rdp1=a b", "rdp1=a\nb", "rdp1=a,rdp1=b", "rdp1=-a", "rdp1=a:3389"]
    )
    def test_at_fault_are_refused_with_the_form(self, text: str) -> None:
        with pytest.raises(ValueError, match="write it as rdp1="):
            public_addresses(text)

    @given(st.text(max_size=60))
    def test_come_out_fit_for_a_file_or_not_at_all(self, text: str) -> None:
        try:
            found = public_addresses(f"rdp1={text}")
        except ValueError:
            return
        for address in found.values():
            rendered(address=address)


@given(st.one_of(st.none(), st.text(max_size=50), st.ip_addresses().map(str)), st.text(max_size=50))
def test_a_client_s_address_is_one_or_the_request_is_at_fault(named: str | None, seen: str) -> None:
    try:
        found = client_address(named, seen)
    except Invalid as error:
        said = error.message
    else:
        said = "client: " if client_address(found, "") == found else "another address the second time"
    assert said.startswith("client: ")


def test_passwords_can_be_typed_and_are_never_the_same() -> None:
    made = {one_time_password.generate() for _ in range(500)}
    assert len(made) == 500
    assert all(re.fullmatch(r"([a-z2-7]{4}-){6}[a-z2-7]{4}", each) for each in made)
    assert {character for each in made for character in each} == set(one_time_password.ALPHABET) | {"-"}
    assert len(one_time_password.ALPHABET) ** (one_time_password.GROUPS * one_time_password.GROUP) >= 2**128
