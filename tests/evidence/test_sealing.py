"""Sealing and opening chunks."""

import hashlib
import hmac
from dataclasses import replace

import msgspec
import pytest
import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from lucid.evidence import sealing
from lucid.evidence.errors import FormatError, SealError
from lucid.evidence.leaf import MAX_PLAIN_SIZE, SEAL_OVERHEAD, ChunkId, Leaf
from tests.evidence.world import OTHER_SESSION, SESSION

KEY = bytes(range(32))
NONCE = bytes(range(32, 64))
SALT = bytes(range(64, 96))
CHUNK = ChunkId(SESSION, 1, 2)
TEXT = b"a line of a log that compresses well\n" * 200


def seal(raw: bytes = TEXT, chunk: ChunkId = CHUNK) -> tuple[Leaf, bytes]:
    sealed = sealing.seal(KEY, chunk, raw, NONCE)
    return sealed.leaf(start_ms=1, end_ms=2), bytes(sealed.data)


class TestPublishedVectors:
    def test_hkdf_rfc_5869_case_1(self) -> None:
        secret = sealing._extract(bytes(range(13)), b"\x0b" * 22)
        assert secret.hex() == "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"
        assert sealing._expand(secret, bytes(range(0xF0, 0xFA)), 42).hex() == (
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
        )

    def test_hkdf_rfc_5869_case_2(self) -> None:
        secret = sealing._extract(bytes(range(0x60, 0xB0)), bytes(range(0x50)))
        assert secret.hex() == "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244"
        assert sealing._expand(secret, bytes(range(0xB0, 0x100)), 82).hex() == (
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
            "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
            "cc30c58179ec3e87c14c01d5c1f3434f1d87"
        )

    @pytest.mark.parametrize(
        ("plain", "expected"),
        [
            ("", "530f8afbc74536b9a963b4f1c4cb738b"),
            ("00" * 16, "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"),
        ],
    )
    def test_aes_256_gcm_test_cases_13_and_14_of_the_specification_submitted_to_nist(
        self, plain: str, expected: str
    ) -> None:
        data = bytes.fromhex(plain)
        out = bytearray(len(data) + 16)
        sealing._encrypt_into(memoryview(out), bytes(32), (data,), b"")
        assert out.hex() == expected


class TestSealing:
    @given(st.binary(min_size=1, max_size=4000), st.integers(0, 2**32 - 1), st.integers(0, 2**53 - 1))
    def test_round_trips(self, raw: bytes, track: int, index: int) -> None:
        leaf, data = seal(raw, ChunkId(SESSION, track, index))
        assert sealing.open_sealed(KEY, leaf, data) == raw
        assert sealing.open_sealed(KEY, leaf, memoryview(data)) == raw

    def test_writes_the_documented_bytes(self) -> None:
        sealed = sealing._seal_with_salt(KEY, CHUNK, TEXT, NONCE, SALT)
        secret = hmac.digest(SALT, KEY, "sha256")
        info = b"lucid/chunk/v1" + bytes.fromhex(SESSION.replace("-", "") + "00000001" + "0000000000000002")
        first = hmac.digest(secret, info + b"\x01", "sha256")
        second = hmac.digest(secret, first + info + b"\x02", "sha256")
        extra = b"\x01" + info[14:] + b"\x01" + len(TEXT).to_bytes(8, "big")
        plain = AESGCM(first).decrypt(bytes(12), bytes(sealed.data[32:]), extra)
        assert sealed.data[:32] == SALT
        assert plain[:32] == NONCE
        assert zstandard.decompress(plain[32:]) == TEXT
        assert sealed.key_commitment == second.hex()
        assert sealed.raw_commitment == hashlib.sha256(NONCE + TEXT).hexdigest()
        assert sealed.sealed_sha256 == hashlib.sha256(sealed.data).hexdigest()

    def test_sealing_again_shares_nothing_but_the_recorders_commitment(self) -> None:
        (first, first_data), (second, second_data) = seal(), seal()
        assert first.raw_commitment == second.raw_commitment
        assert first.key_commitment != second.key_commitment
        assert first_data[:32] != second_data[:32]
        assert first_data[32:64] != second_data[32:64]

    def test_skips_compression_that_saves_less_than_three_per_cent(self) -> None:
        noise = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(200))
        assert seal(noise)[0].codec == "none"
        assert len(seal(noise)[1]) == len(noise) + SEAL_OVERHEAD
        assert seal(noise + bytes(150))[0].codec == "none"
        assert seal(noise + bytes(400))[0].codec == "zstd"

    def test_the_sealed_bytes_cannot_be_written_to(self) -> None:
        assert sealing.seal(KEY, CHUNK, TEXT, NONCE).data.readonly

    def test_the_largest_chunk_round_trips(self) -> None:
        raw = bytes(MAX_PLAIN_SIZE)
        leaf, data = seal(raw)
        assert sealing.open_sealed(KEY, leaf, data) == raw

    @pytest.mark.parametrize("size", [0, MAX_PLAIN_SIZE + 1])
    def test_refuses_other_sizes(self, size: int) -> None:
        with pytest.raises(FormatError, match=f"raw: {size} bytes"):
            seal(bytes(size))

    def test_names_the_key_or_nonce_that_has_the_wrong_length(self) -> None:
        with pytest.raises(FormatError, match="session_key"):
            sealing.seal(KEY[1:], CHUNK, TEXT, NONCE)
        with pytest.raises(FormatError, match="raw_nonce"):
            sealing.seal(KEY, CHUNK, TEXT, NONCE + b"x")

    def test_session_keys_are_random_and_long_enough(self) -> None:
        assert len(sealing.new_session_key()) == 32
        assert sealing.new_session_key() != sealing.new_session_key()


class TestDisclosingOneChunk:
    def test_the_chunks_own_key_opens_it(self) -> None:
        leaf, data = seal()
        assert sealing.open_with_chunk_key(sealing.chunk_key(KEY, data), leaf, data) == TEXT

    def test_it_opens_no_other_chunk_of_the_session(self) -> None:
        _, data = seal()
        other_leaf, other_data = seal(chunk=replace(CHUNK, index=3))
        with pytest.raises(SealError, match="key_commitment"):
            sealing.open_with_chunk_key(sealing.chunk_key(KEY, data), other_leaf, other_data)

    def test_a_made_up_key_is_told_by_the_commitment(self) -> None:
        leaf, data = seal()
        with pytest.raises(SealError, match="key_commitment"):
            sealing.open_with_chunk_key(bytes(32), leaf, data)
        with pytest.raises(FormatError, match="chunk_key"):
            sealing.open_with_chunk_key(bytes(31), leaf, data)


class TestOpening:
    def test_refuses_another_session_key(self) -> None:
        leaf, data = seal()
        with pytest.raises(SealError, match="key_commitment"):
            sealing.open_sealed(bytes(32), leaf, data)

    @pytest.mark.parametrize("position", [0, 31, 32, 63, 64, 100, -17, -1])
    def test_refuses_a_flipped_byte_even_if_the_leafs_hash_is_adjusted(self, position: int) -> None:
        leaf, data = seal()
        altered = bytearray(data)
        altered[position] ^= 1
        with pytest.raises(SealError, match="sealed_sha256"):
            sealing.open_sealed(KEY, leaf, altered)
        adjusted = msgspec.structs.replace(leaf, sealed_sha256=hashlib.sha256(altered).hexdigest())
        with pytest.raises(SealError, match=r"key_commitment|does not decrypt"):
            sealing.open_sealed(KEY, adjusted, altered)

    @pytest.mark.parametrize(
        "change", [{"session": OTHER_SESSION}, {"track": 0}, {"index": 3}, {"key_commitment": "0" * 64}]
    )
    def test_refuses_to_open_as_another_chunk(self, change: dict[str, object]) -> None:
        leaf, data = seal()
        with pytest.raises(SealError, match="key_commitment"):
            sealing.open_sealed(KEY, msgspec.structs.replace(leaf, **change), data)

    def test_refuses_another_codec_or_plain_size(self) -> None:
        leaf, data = seal()
        other_codec = msgspec.structs.replace(leaf, codec="none", plain_size=len(data) - SEAL_OVERHEAD)
        for changed in (other_codec, msgspec.structs.replace(leaf, plain_size=leaf.plain_size + 1)):
            with pytest.raises(SealError, match="does not decrypt"):
                sealing.open_sealed(KEY, changed, data)

    def test_refuses_fewer_bytes(self) -> None:
        leaf, data = seal()
        with pytest.raises(SealError, match="has 10 bytes"):
            sealing.open_sealed(KEY, leaf, data[:10])
