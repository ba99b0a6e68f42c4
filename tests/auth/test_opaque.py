"""Secrets that say nothing."""

import hashlib

from lucid.auth.opaque import digest, new_recovery_codes, new_secret, recovery_digest


def test_a_secret_has_256_bits_and_is_never_the_same() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert {len(secret) for secret in made} == {43}


def test_only_the_sha_256_of_a_secret_is_kept() -> None:
    assert digest("secret") == hashlib.sha256(b"secret").hexdigest()


def test_there_are_ten_recovery_codes_in_groups_that_people_can_copy() -> None:
    codes = new_recovery_codes()
    assert len(set(codes)) == 10
    assert {tuple(len(group) for group in code.split("-")) for code in codes} == {(4, 4, 4, 4)}


def test_a_recovery_code_is_the_same_in_capitals_and_with_other_gaps() -> None:
    code = new_recovery_codes()[0]
    assert recovery_digest(f" {code.upper().replace('-', ' ')} ") == recovery_digest(code)
    assert recovery_digest(code) != recovery_digest(new_recovery_codes()[0])
