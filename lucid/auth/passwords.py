"""Passwords: which are strong enough, and how they are kept (Argon2id, RFC 9106).

Hashing takes 64 MiB and tens of milliseconds on purpose: services run it through `lucid.auth.hashing`.
"""

import re
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from argon2.profiles import RFC_9106_LOW_MEMORY

from lucid.kit.errors import Code, Invalid

MIN_LENGTH = 12
MIN_DIFFERENT = 5
"""Different characters a password must have."""

_HASHER = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
_COMMON = re.compile(
    "(?:abc|admin|administrator|changeme|computer|default|dragon|football|hello|iloveyou|letmein|login|lucid|"
    "master|monkey|passwd|passwort|password|princess|root|secret|shadow|sunshine|superman|user|welcome)+"
)
_RUNS = tuple(
    direction
    for row in (
        "0123456789",
        "abcdefghijklmnopqrstuvwxyz",
        "qwertyuiopasdfghjklzxcvbnm",
        "1q2w3e4r5t6z7u8i9o0p",
    )
    for direction in (row * 3, row[::-1] * 3)
)
_LEET = str.maketrans("0134578@$!", "oleastbasi")


def check(password: str, email: str) -> None:
    """Raises Invalid 1007, saying what is missing, for a password that is short or soon guessed."""
    if len(password) < MIN_LENGTH:
        raise _weak(f"needs at least {MIN_LENGTH} characters")
    lowered = password.lower()
    if lowered == email.lower():
        raise _weak("must not be the mail address")
    if len(set(lowered)) < MIN_DIFFERENT:
        raise _weak(f"needs at least {MIN_DIFFERENT} different characters")
    if any(lowered in run for run in _RUNS) or _is_common(lowered):
        raise _weak("is among the first that anybody would try; several unrelated words are better")


def make_hash(password: str) -> str:
    """The password's Argon2id hash with a fresh salt, in PHC string format."""
    return _HASHER.hash(_prepared(password))


def matches(password: str, kept: str) -> bool:
    """Whether `kept` is a hash of this password. Takes as long whether it is or not."""
    try:
        return _HASHER.verify(kept, _prepared(password))
    except VerifyMismatchError:
        return False


def _prepared(password: str) -> bytes:
    # NFC as in RFC 8265 section 4.2.2: the same keys typed on another system are the same password.
    return unicodedata.normalize("NFC", password).encode()


def _is_common(lowered: str) -> bool:
    """Whether nothing is left once common words, digits and signs are taken away."""
    inner = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", lowered)
    for spelling in (lowered, inner.translate(_LEET)):
        parts = re.sub(r"[\W\d_]+", " ", spelling).split()
        if parts and all(_COMMON.fullmatch(part) for part in parts):
            return True
    return False


def _weak(reason: str) -> Invalid:
    return Invalid(f"password: {reason}", code=Code.WEAK_PASSWORD, field="password")
