"""One AES-GCM ciphertext that opens under two keys, as anybody can make who may choose both keys.

GCM's tag is a polynomial in a key's own hash point, linear in each block of the ciphertext. One free block is
enough to make the tags of two keys equal (Dodis, Grubbs, Ristenpart, Woodage: Fast message franking, 2018).
"""

from collections.abc import Sequence

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

BLOCK = 16
_R = 0xE1 << 120
"""The polynomial of GCM's field, in its bit order (NIST SP 800-38D, section 6.3)."""


def opens_under_both(keys: tuple[bytes, bytes], extra: bytes, pieces: Sequence[tuple[int, bytes]]) -> bytes:
    """Return ciphertext and tag, under a nonce of 12 zero bytes, that decrypt under either key.

    Each piece is a block of 16 bytes to be read under key 0 or 1; under the other it reads as noise. In front
    of them is one block more, which reads as noise under both.
    """
    streams = [_keystream(key, len(pieces) + 3) for key in keys]
    blocks = [0] + [_int(block) ^ streams[which][number + 3] for number, (which, block) in enumerate(pieces)]
    extra_blocks = [
        _int(extra[start : start + BLOCK].ljust(BLOCK, b"\0")) for start in range(0, len(extra), BLOCK)
    ]
    lengths = (len(extra) * 8 << 64) | len(blocks) * BLOCK * 8

    def tag(which: int) -> int:
        point, value = streams[which][0], 0
        for block in (*extra_blocks, *blocks, lengths):
            value = _times(value ^ block, point)
        return value ^ streams[which][1]

    weights = [_power(stream[0], len(blocks) + 1) for stream in streams]
    blocks[0] = _times(tag(0) ^ tag(1), _power(weights[0] ^ weights[1], 2**128 - 2))
    assert tag(0) == tag(1)
    return b"".join(block.to_bytes(BLOCK, "big") for block in (*blocks, tag(0)))


def _keystream(key: bytes, count: int) -> list[int]:
    """E(0), the hash point; E(nonce || 1), which masks the tag; then what masks the blocks."""
    counters = bytes(BLOCK) + b"".join(bytes(12) + number.to_bytes(4, "big") for number in range(1, count))
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - GCM's own building block
    found = encryptor.update(counters)
    return [_int(found[start : start + BLOCK]) for start in range(0, len(found), BLOCK)]


def _times(left: int, right: int) -> int:
    """Product in GF(2^128), with GCM's reflected bits."""
    product = 0
    for bit in range(127, -1, -1):
        if right >> bit & 1:
            product ^= left
        left = (left >> 1) ^ (_R if left & 1 else 0)
    return product


def _power(base: int, exponent: int) -> int:
    result = 1 << 127
    while exponent:
        if exponent & 1:
            result = _times(result, base)
        base, exponent = _times(base, base), exponent >> 1
    return result


def _int(block: bytes) -> int:
    return int.from_bytes(block, "big")
