"""Secrets that say nothing: 256 random bits for their holder, of which only the SHA-256 is kept.

So much chance needs no slow hash: whoever reads the database cannot guess what was hashed.
"""

import base64
import hashlib
import secrets

SECRET_BYTES = 32
RECOVERY_CODES = 10
_RECOVERY_BYTES = 10


def new_secret() -> str:
    """43 characters of base64url."""
    return secrets.token_urlsafe(SECRET_BYTES)


def new_recovery_codes() -> tuple[str, ...]:
    """Ten codes of 80 random bits, to be written down: abcd-efgh-ijkl-mnop in base32."""
    return tuple(_grouped(secrets.token_bytes(_RECOVERY_BYTES)) for _ in range(RECOVERY_CODES))


def digest(secret: str) -> str:
    """What is kept of a secret: SHA-256, hex."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def recovery_digest(code: str) -> str:
    """What is kept of a recovery code, however it is spaced and in whichever case."""
    return digest("".join(c for c in code.lower() if c.isalnum()))


def _grouped(raw: bytes) -> str:
    text = base64.b32encode(raw).decode().lower()
    return "-".join(text[i : i + 4] for i in range(0, len(text), 4))
