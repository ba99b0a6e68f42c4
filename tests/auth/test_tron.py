"""TRON's addresses and signed messages, against what other programs have made."""

import pytest
from coincurve import PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from lucid.auth.tron import address_of, is_address, message_hash, signed_by
from tests.auth.desk import Wallet

# Made by another implementation of TIP-191 (blockchain_utils, for Dart): key, message, signature.
KEY = bytes.fromhex("43985273a3d94eb753fe6acfd7003e88254effce1eb53e2e97b8522558a98038")
MESSAGE = "message"
SIGNATURE = bytes.fromhex(
    "fde00bc33d78109bc61de314c1c0526a047e22a2aaae473ca84b32d8aa35ed3e"
    "03720e05d614087e3d8c6fae63879755b32aa08818a2d4de66fee1a617a971671b"
)
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
ADDRESS = address_of(PrivateKey(KEY).public_key)
USDT = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"


class TestAddresses:
    def test_of_the_smallest_key_is_the_known_one(self) -> None:
        one = PrivateKey(b"\0" * 31 + b"\1").public_key
        assert address_of(one) == "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC"

    @pytest.mark.parametrize("address", [USDT, ADDRESS])
    def test_with_a_right_checksum_are_taken(self, address: str) -> None:
        assert is_address(address)

    @pytest.mark.parametrize(
        "text",
        [
            "", "T", USDT[:-1], USDT + "t", USDT.lower(), USDT[:-1] + "u", "U" + USDT[1:], USDT[:-1] + "0",
            "T" + "z" * 33, "T" + "1" * 33, "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", USDT[:-1] + "\n",
        ],
    )  # fmt: skip
    def test_of_anything_else_are_refused(self, text: str) -> None:
        assert not is_address(text)

    @given(st.binary(min_size=32, max_size=32).filter(lambda raw: 0 < int.from_bytes(raw) < ORDER))
    def test_of_any_key_are_addresses_and_one_changed_letter_makes_them_none(self, raw: bytes) -> None:
        address = address_of(PrivateKey(raw).public_key)
        assert is_address(address)
        at = raw[0] % 33 + 1
        assert not is_address(address[:at] + ("2" if address[at] != "2" else "3") + address[at + 1 :])


class TestSignatures:
    def test_of_another_implementation_holds(self) -> None:
        assert signed_by(ADDRESS, MESSAGE, SIGNATURE)

    @pytest.mark.parametrize("first_v", [0, 27])
    def test_hold_with_either_way_to_write_v(self, first_v: int) -> None:
        wallet = Wallet()
        assert signed_by(wallet.address, "ö", bytes.fromhex(wallet.sign("ö", first_v)))

    @pytest.mark.parametrize("v", [2, 3, 26, 29, 255])
    def test_with_another_v_do_not(self, v: int) -> None:
        assert not signed_by(ADDRESS, MESSAGE, SIGNATURE[:64] + bytes([v]))

    def test_are_those_of_one_message_and_one_address(self) -> None:
        assert not signed_by(ADDRESS, "massage", SIGNATURE)
        assert not signed_by(USDT, MESSAGE, SIGNATURE)
        assert not signed_by(ADDRESS, MESSAGE, SIGNATURE[:64] + bytes([28]))

    def test_in_the_second_form_with_a_high_s_are_refused(self) -> None:
        s = ORDER - int.from_bytes(SIGNATURE[32:64])
        twin = SIGNATURE[:32] + s.to_bytes(32) + bytes([28])
        key = PrivateKey(KEY).public_key
        recovered = type(key).from_signature_and_message(
            twin[:64] + b"\1", message_hash(MESSAGE), hasher=None
        )
        assert recovered == key
        assert not signed_by(ADDRESS, MESSAGE, twin)

    @given(st.binary(max_size=70))
    def test_of_any_other_bytes_do_not_hold(self, raw: bytes) -> None:
        assert not signed_by(ADDRESS, MESSAGE, raw)

    @pytest.mark.parametrize("r", [0, ORDER, 2**256 - 1])
    @pytest.mark.parametrize("s", [0, 1])
    def test_with_numbers_off_the_curve_do_not(self, r: int, s: int) -> None:
        assert not signed_by(ADDRESS, MESSAGE, r.to_bytes(32) + s.to_bytes(32) + b"\x1b")
