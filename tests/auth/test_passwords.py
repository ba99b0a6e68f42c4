"""Which passwords are taken, and how they are kept."""

import pytest

from lucid.auth.passwords import check, make_hash, matches
from lucid.kit.errors import Code, Invalid

MAIL = "anna.berg@example.org"


class TestPolicy:
    @pytest.mark.parametrize(
        "password",
        ["seven wet horses 7", "xK9#mP2$vL5n", "8302194755610", "правильная лошадь", "adminton racket 12"],
    )
    def test_takes_what_is_long_and_not_obvious(self, password: str) -> None:
        check(password, MAIL)

    @pytest.mark.parametrize(
        ("password", "reason"),
        [
            ("short one 1", "12 characters"),
            ("anna.berg@example.org", "mail address"),
            ("Anna.Berg@EXAMPLE.org", "mail address"),
            ("aaaaaaaaaaaaaaaa", "different"),
            ("abababababab1212", "different"),
            ("123456789012", "try"),
            ("abcdefghijkl", "try"),
            ("zyxwvutsrqpo", "try"),
            ("QwertyUiopasdf", "try"),
            ("1q2w3e4r5t6z", "try"),
            ("password1234", "try"),
            ("P@ssw0rd!2024", "try"),
            ("passwordpassword", "try"),
            ("welcome-admin-2025", "try"),
            ("Administrator1", "try"),
        ],
    )
    def test_refuses_the_short_and_the_obvious_with_1007(self, password: str, reason: str) -> None:
        with pytest.raises(Invalid, match=reason) as refusal:
            check(password, MAIL)
        assert refusal.value.code is Code.WEAK_PASSWORD
        assert password not in refusal.value.message


class TestHash:
    def test_is_argon2id_with_the_parameters_of_rfc_9106(self) -> None:
        assert make_hash("seven wet horses").startswith("$argon2id$v=19$m=65536,t=3,p=4$")

    def test_is_salted_afresh_and_matches_its_password_alone(self) -> None:
        first, second = make_hash("seven wet horses"), make_hash("seven wet horses")
        assert first != second
        assert matches("seven wet horses", first)
        assert not matches("seven wet horseS", first)

    def test_is_the_same_for_composed_and_decomposed_letters(self) -> None:
        assert matches("Ko\u0308nigsberger Klopse", make_hash("K\u00f6nigsberger Klopse"))
