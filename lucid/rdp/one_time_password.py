"""One-time passwords: told to one person once, and known to everything else by their SHA-256."""

import hashlib
import secrets

ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
"""Base32: five bits each, without 0, 1 and 8, which are taken for letters."""
GROUPS, GROUP = 7, 4
"""140 bits."""


def generate() -> str:
    """A fresh password, in groups that can be read out and typed."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(GROUP)) for _ in range(GROUPS))


def digest(password: str) -> str:
    """SHA-256, in hex, of the password as it is typed."""
    return hashlib.sha256(password.encode()).hexdigest()
