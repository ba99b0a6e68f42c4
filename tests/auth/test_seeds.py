"""Seeds of second factors, sealed."""

import pytest

from lucid.auth.seeds import Seeds
from lucid.kit.errors import Code, LucidError

OLD, NEW = b"o" * 32, b"n" * 32
SEED = b"s" * 20


def test_a_seed_opens_for_its_account_alone() -> None:
    seeds = Seeds(OLD)
    sealed = seeds.seal("anna", SEED)
    assert SEED not in sealed
    assert seeds.open("anna", sealed) == SEED
    with pytest.raises(LucidError) as refusal:
        seeds.open("bert", sealed)
    assert refusal.value.code is Code.CONFIGURATION


def test_two_sealings_of_one_seed_have_nothing_in_common() -> None:
    seeds = Seeds(OLD)
    assert seeds.seal("anna", SEED)[:12] != seeds.seal("anna", SEED)[:12]


@pytest.mark.parametrize("at", [0, 12, -1])
def test_a_changed_byte_anywhere_is_noticed(at: int) -> None:
    sealed = bytearray(Seeds(OLD).seal("anna", SEED))
    sealed[at] ^= 1
    with pytest.raises(LucidError):
        Seeds(OLD).open("anna", bytes(sealed))


def test_the_key_before_opens_and_what_it_sealed_is_sealed_anew_once() -> None:
    sealed = Seeds(OLD).seal("anna", SEED)
    both = Seeds(NEW, OLD)
    assert both.open("anna", sealed) == SEED
    renewed = both.renewed("anna", sealed)
    assert renewed is not None
    assert Seeds(NEW).open("anna", renewed) == SEED
    assert both.renewed("anna", renewed) is None


def test_without_the_key_before_the_operator_is_told_what_is_missing() -> None:
    with pytest.raises(LucidError, match="mfa_secret_previous"):
        Seeds(NEW).renewed("anna", Seeds(OLD).seal("anna", SEED))
