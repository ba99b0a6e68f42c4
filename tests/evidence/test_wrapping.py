"""Session keys at rest."""

import hashlib
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from lucid.evidence import wrapping
from lucid.evidence.errors import FormatError, SealError
from lucid.evidence.wrapping import Kek, WrappedKey
from tests.evidence.world import OTHER_SESSION, SESSION

SALT = b"a salt of twenty bytes"
SESSION_KEY = bytes(range(32))


@pytest.fixture(scope="module")
def kek() -> Kek:
    return wrapping.derive_kek("correct horse", SALT)


class TestKek:
    def test_is_scrypt_with_the_documented_parameters(self, kek: Kek) -> None:
        assert kek.key == Scrypt(salt=SALT, length=32, n=32768, r=8, p=1).derive(b"correct horse")
        assert kek.id == hashlib.sha256(b"lucid/kek-id/v1" + kek.key).hexdigest()[:16]

    def test_is_not_shown(self, kek: Kek) -> None:
        assert repr(kek) == f"Kek(id='{kek.id}')"

    def test_needs_a_password_and_a_salt(self) -> None:
        with pytest.raises(FormatError, match="password: empty"):
            wrapping.derive_kek("", SALT)
        with pytest.raises(FormatError, match="salt: 15 bytes"):
            wrapping.derive_kek("x", bytes(15))


class TestWrapping:
    def test_round_trips_with_a_fresh_nonce_each_time(self, kek: Kek) -> None:
        first = wrapping.wrap_session_key(kek, SESSION, SESSION_KEY)
        second = wrapping.wrap_session_key(kek, SESSION, SESSION_KEY)
        assert first.data != second.data
        assert len(first.data) == 60
        for wrapped in (first, second):
            assert wrapping.unwrap_session_key(kek, SESSION, wrapped) == SESSION_KEY

    def test_a_key_is_tied_to_its_session(self, kek: Kek) -> None:
        wrapped = wrapping.wrap_session_key(kek, SESSION, SESSION_KEY)
        with pytest.raises(SealError, match=OTHER_SESSION):
            wrapping.unwrap_session_key(kek, OTHER_SESSION, wrapped)

    def test_another_kek_is_named(self, kek: Kek) -> None:
        wrapped = wrapping.wrap_session_key(kek, SESSION, SESSION_KEY)
        other = Kek(key=bytes(32), id="0" * 16)
        with pytest.raises(SealError, match=f"{kek.id}, not {other.id}.*ENCRYPTION_PASSWORD"):
            wrapping.unwrap_session_key(other, SESSION, wrapped)
        with pytest.raises(SealError, match="altered"):
            wrapping.unwrap_session_key(replace(other, id=kek.id), SESSION, wrapped)

    @pytest.mark.parametrize("size", [0, 11, 12, 27, 59])
    def test_altered_or_cut_bytes_are_refused(self, kek: Kek, size: int) -> None:
        data = wrapping.wrap_session_key(kek, SESSION, SESSION_KEY).data
        flipped = data[:size] + bytes([data[size] ^ 1]) + data[size + 1 :]
        for bad in (data[:size], flipped):
            with pytest.raises(SealError, match="altered"):
                wrapping.unwrap_session_key(kek, SESSION, WrappedKey(kek.id, bad))

    def test_only_32_byte_keys_are_wrapped(self, kek: Kek) -> None:
        with pytest.raises(FormatError, match="session_key: 16 bytes"):
            wrapping.wrap_session_key(kek, SESSION, bytes(16))
