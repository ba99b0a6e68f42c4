"""TRON addresses and signed messages: who signed this text?

An address is base58check of 0x41 and the last 20 bytes of the public key's Keccak-256. A message is signed
as TIP-191 and TronWeb's signMessageV2 say: secp256k1 over the Keccak-256 of a prefix, the message's length
in decimal, and the message. Hardware wallets sign the same.
"""

import hashlib
import hmac

from coincurve import PublicKey
from Crypto.Hash import keccak

ADDRESS_LENGTH = 34
SIGNATURE_BYTES = 65
_VERSION = b"\x41"
_PREFIX = b"\x19TRON Signed Message:\n"
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_PAYLOAD_BYTES, _CHECKSUM_BYTES = 21, 4
_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_RECOVERY_IDS = {0: 0, 1: 1, 27: 0, 28: 1}


def is_address(text: str) -> bool:
    """Whether this is an address of TRON, its checksum included."""
    if len(text) != ADDRESS_LENGTH or any(c not in _ALPHABET for c in text):
        return False
    number = 0
    for c in text:
        number = number * 58 + _ALPHABET.index(c)
    if number.bit_length() > (_PAYLOAD_BYTES + _CHECKSUM_BYTES) * 8:
        return False
    raw = number.to_bytes(_PAYLOAD_BYTES + _CHECKSUM_BYTES)
    payload, checksum = raw[:_PAYLOAD_BYTES], raw[_PAYLOAD_BYTES:]
    return payload.startswith(_VERSION) and checksum == _checksum(payload)


def address_of(key: PublicKey) -> str:
    """The address of a public key."""
    payload = _VERSION + _keccak(key.format(compressed=False)[1:])[-20:]
    number = int.from_bytes(payload + _checksum(payload))
    text = ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    return text  # no leading zero bytes to write: the version is none


def message_hash(message: str) -> bytes:
    """What is signed for a message: 32 bytes."""
    raw = message.encode()
    return _keccak(_PREFIX + str(len(raw)).encode() + raw)


def signed_by(address: str, message: str, signature: bytes) -> bool:
    """Whether the holder of `address` has signed `message`.

    `signature` is r, s and v, the last being 0, 1, 27 or 28. One with a high s is refused (BIP 62): there is
    then no second form of a signature.
    """
    if len(signature) != SIGNATURE_BYTES or signature[-1] not in _RECOVERY_IDS:
        return False
    if int.from_bytes(signature[32:64]) > _HALF_ORDER:
        return False
    compact = signature[:64] + bytes([_RECOVERY_IDS[signature[-1]]])
    try:
        key = PublicKey.from_signature_and_message(compact, message_hash(message), hasher=None)
    except ValueError:
        return False
    return hmac.compare_digest(address_of(key).encode(), address.encode())


def _checksum(payload: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:_CHECKSUM_BYTES]


def _keccak(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()
