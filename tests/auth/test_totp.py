"""One-time passwords, against the published codes of RFC 6238."""

from urllib.parse import parse_qs, urlsplit

import pytest

from lucid.auth.totp import STEP_SECONDS, code, matching_step, new_seed, uri, written

# RFC 6238, appendix B: SHA-1, of whose eight digits the last six are those of a code with six.
SEED = b"12345678901234567890"
PUBLISHED = {
    59: "94287082",
    1111111109: "07081804",
    1111111111: "14050471",
    1234567890: "89005924",
    2000000000: "69279037",
    20000000000: "65353130",
}


@pytest.mark.parametrize(("moment", "eight"), PUBLISHED.items())
def test_codes_are_those_of_rfc_6238(moment: int, eight: str) -> None:
    assert code(SEED, moment // STEP_SECONDS) == eight[2:]
    assert matching_step(SEED, eight[2:], moment) == moment // STEP_SECONDS


@pytest.mark.parametrize(("late", "found"), [(-60, False), (-30, True), (0, True), (30, True), (60, False)])
def test_a_clock_may_be_off_by_one_step_either_way(late: int, found: bool) -> None:
    step = 1111111109 // STEP_SECONDS
    assert (matching_step(SEED, code(SEED, step), 1111111109 + late) == step) is found


def test_what_is_no_code_of_these_steps_matches_none() -> None:
    assert matching_step(SEED, "000000", 59) is None
    assert matching_step(SEED, "287082\n", 59) is None
    assert matching_step(SEED, "", 59) is None
    assert matching_step(new_seed(), code(SEED, 1), 59) is None


def test_the_uri_says_all_that_an_authenticator_needs() -> None:
    parts = urlsplit(uri(SEED, "anna@example.org", "Lucid"))
    assert (parts.scheme, parts.netloc, parts.path) == ("otpauth", "totp", "/Lucid:anna%40example.org")
    said = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert said == {
        "secret": written(SEED), "issuer": "Lucid", "algorithm": "SHA1", "digits": "6", "period": "30",
    }  # fmt: skip
