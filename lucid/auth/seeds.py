"""Seeds of second factors as they are kept: AES-256-GCM, bound to their account.

A sealed seed is a random nonce of 12 bytes followed by ciphertext and tag; the account's id is its additional
data, so that a seed copied to another account opens for nobody.
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lucid.kit.errors import Code, LucidError

_NONCE_BYTES = 12


class Seeds:
    """Seals under the key `current`; opens what was sealed under that or the one before."""

    def __init__(self, current: bytes, previous: bytes | None = None) -> None:
        self._current = AESGCM(current)
        self._previous = None if previous is None else AESGCM(previous)

    def seal(self, user: str, seed: bytes) -> bytes:
        """The seed in the form that may be stored."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._current.encrypt(nonce, seed, user.encode())

    def open(self, user: str, sealed: bytes) -> bytes:
        """The seed. Raises LucidError 5004 if neither key opens it."""
        seed = _opened(self._current, user, sealed)
        if seed is None and self._previous is not None:
            seed = _opened(self._previous, user, sealed)
        if seed is None:
            raise LucidError(
                "a second factor does not open with credential mfa_secret; was that replaced without"
                " mfa_secret_previous?",
                code=Code.CONFIGURATION,
            )
        return seed

    def renewed(self, user: str, sealed: bytes) -> bytes | None:
        """The seed sealed under the current key, or None if it is already. Raises as `open`."""
        if _opened(self._current, user, sealed) is not None:
            return None
        return self.seal(user, self.open(user, sealed))


def _opened(key: AESGCM, user: str, sealed: bytes) -> bytes | None:
    try:
        return key.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], user.encode())
    except InvalidTag:
        return None
