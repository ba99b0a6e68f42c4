"""Forgeries of sealed chunks, by somebody who holds the session's key: who opens a chunk finds them out.

A bundle's verification has no keys and cannot: it only shows that a chunk is the one that was anchored.
"""

import hashlib
import hmac
import struct
import tracemalloc

import msgspec
import pytest
import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lucid.evidence import sealing
from lucid.evidence.errors import SealError
from lucid.evidence.leaf import MAX_PLAIN_SIZE, ChunkId, Codec, Leaf
from tests.evidence.world import SESSION
from tests.forgeries.two_keys import opens_under_both

KEY = bytes(range(32))
NONCE = bytes(range(32, 64))
SALT = bytes(range(64, 96))
CHUNK = ChunkId(SESSION, 1, 2)
TEXT = b"a line of a log that compresses well\n" * 200
FRAME = zstandard.compress(TEXT)


def sealed_by_hand(
    payload: bytes, *, codec: Codec = "zstd", plain_size: int = len(TEXT)
) -> tuple[Leaf, bytes]:
    """Whatever payload, sealed with the right keys, and a leaf that says of it what the forger wants.

    Its commitment is to `TEXT`, the true recording.
    """
    key, commitment = sealing._chunk_keys(hmac.digest(SALT, KEY, "sha256"), CHUNK)
    extra = sealing._additional_data(CHUNK, codec, plain_size)
    data = SALT + AESGCM(key).encrypt(bytes(12), NONCE + payload, extra)
    return leaf_of(data, commitment, codec=codec, plain_size=plain_size), data


def leaf_of(data: bytes, commitment: bytes, *, codec: Codec, plain_size: int, raw: bytes = TEXT) -> Leaf:
    return Leaf(
        session=CHUNK.session,
        track=CHUNK.track,
        index=CHUNK.index,
        start_ms=1,
        end_ms=2,
        plain_size=plain_size,
        sealed_size=len(data),
        codec=codec,
        sealed_sha256=hashlib.sha256(data).hexdigest(),
        key_commitment=commitment.hex(),
        raw_commitment=hashlib.sha256(NONCE + raw).hexdigest(),
    )


def test_what_they_are_all_made_from_opens() -> None:
    leaf, data = sealed_by_hand(FRAME)
    assert sealing.open_sealed(KEY, leaf, data) == TEXT


def test_raw_commitment_mismatch_another_recording_than_its_recorder_saw() -> None:
    forged: dict[Codec, bytes] = {"zstd": zstandard.compress(TEXT[::-1]), "none": TEXT[::-1]}
    for codec, payload in forged.items():
        leaf, data = sealed_by_hand(payload, codec=codec)
        with pytest.raises(SealError, match="raw_commitment differs"):
            sealing.open_sealed(KEY, leaf, data)


class TestKeyCommitmentMismatch:
    """Two chunk keys, one ciphertext, two recordings: which one would be disclosed?"""

    SECRETS = (hashlib.sha256(b"the true one").digest(), hashlib.sha256(b"the other one").digest())
    PIECES = ((0, b"a random nonce.."), (0, b"Ada left at noon"), (1, b"Eve left at noon"))
    SIZE = 32

    def made(self) -> tuple[bytes, list[tuple[bytes, bytes]], bytes]:
        material = [sealing._chunk_keys(secret, CHUNK) for secret in self.SECRETS]
        extra = sealing._additional_data(CHUNK, "none", self.SIZE)
        return SALT + opens_under_both((material[0][0], material[1][0]), extra, self.PIECES), material, extra

    def test_the_bytes_do_decrypt_under_both_keys_to_two_recordings(self) -> None:
        data, material, extra = self.made()
        first, second = (AESGCM(key).decrypt(bytes(12), data[32:], extra) for key, _ in material)
        assert first[32:48] == b"Ada left at noon"
        assert second[48:64] == b"Eve left at noon"
        assert first[32:] != second[32:]

    def test_only_the_committed_key_opens_them(self) -> None:
        data, material, extra = self.made()
        true = AESGCM(material[0][0]).decrypt(bytes(12), data[32:], extra)
        leaf = leaf_of(data, material[0][1], codec="none", plain_size=self.SIZE)
        leaf = msgspec.structs.replace(leaf, raw_commitment=hashlib.sha256(true).hexdigest())
        assert sealing.open_with_chunk_key(self.SECRETS[0], leaf, data) == true[32:]
        with pytest.raises(SealError, match="key_commitment differs"):
            sealing.open_with_chunk_key(self.SECRETS[1], leaf, data)

    def test_nor_does_a_leaf_that_names_the_other_key_help(self) -> None:
        data, material, extra = self.made()
        true = AESGCM(material[0][0]).decrypt(bytes(12), data[32:], extra)
        leaf = leaf_of(data, material[1][1], codec="none", plain_size=self.SIZE)
        leaf = msgspec.structs.replace(leaf, raw_commitment=hashlib.sha256(true).hexdigest())
        with pytest.raises(SealError, match="raw_commitment differs"):
            sealing.open_with_chunk_key(self.SECRETS[1], leaf, data)


def claiming(frame: bytes, size: int) -> bytes:
    """A zstd frame whose header states another content size (RFC 8878, 3.1.1.1), in eight bytes."""
    descriptor = frame[4]
    single_segment, size_flag = descriptor >> 5 & 1, descriptor >> 6
    field = (1 if single_segment else 0, 2, 4, 8)[size_flag]
    start = 5 if single_segment else 6
    header = bytes([0xC0 | descriptor & 0x3F & ~0x20]) + bytes([0x70])  # eight bytes; a window of 16 MiB
    return frame[:4] + header + struct.pack("<Q", size) + frame[start + field :]


def wanting_a_dictionary(frame: bytes) -> bytes:
    """A frame whose header, made of one segment, names dictionary 7."""
    return frame[:4] + bytes([frame[4] | 1, 7]) + frame[5:]


BOMB = zstandard.compress(bytes(4 * MAX_PLAIN_SIZE))
UNSTATED = zstandard.ZstdCompressor(write_content_size=False).compress(TEXT)
SKIPPABLE = b"\x50\x2a\x4d\x18\x04\0\0\0abcd"
SIZE = len(TEXT)
PAYLOADS = {
    "a decompression bomb, its size stated": (BOMB, 1000, "states another size"),
    "a decompression bomb, its size denied": (claiming(BOMB, 1000), 1000, "does not decompress"),
    "a decompression bomb of 64 MiB said to be 16": (
        claiming(BOMB, MAX_PLAIN_SIZE),
        MAX_PLAIN_SIZE,
        "does not decompress",
    ),
    "a frame that states an exabyte": (claiming(FRAME, 2**60), SIZE, "states another size"),
    "a frame that states no size": (UNSTATED, SIZE, "states another size"),
    "a frame that holds less than it states": (claiming(FRAME, SIZE + 1), SIZE + 1, "does not decompress"),
    "a frame that is cut": (FRAME[:-1], SIZE, "does not decompress"),
    "a frame that wants a dictionary": (wanting_a_dictionary(FRAME), SIZE, "does not decompress"),
    "no frame": (b"not zstd", SIZE, "does not decompress"),
    "nothing": (b"", SIZE, "does not decompress"),
    "a frame and bytes after it": (FRAME + b"more", SIZE, "does not decompress"),
    "two frames": (FRAME + FRAME, SIZE, "does not decompress"),
    "a skippable frame first": (SKIPPABLE + FRAME, SIZE, "states another size"),
    "a skippable frame last": (FRAME + SKIPPABLE, SIZE, "does not decompress"),
}


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_payload_that_is_not_one_frame_of_the_leafs_size_is_refused_within_bounds(name: str) -> None:
    payload, plain_size, problem = PAYLOADS[name]
    leaf, data = sealed_by_hand(payload, plain_size=plain_size)
    tracemalloc.start()
    try:
        with pytest.raises(SealError, match=problem):
            sealing.open_sealed(KEY, leaf, data)
        assert tracemalloc.get_traced_memory()[1] < 2 * MAX_PLAIN_SIZE
    finally:
        tracemalloc.stop()
