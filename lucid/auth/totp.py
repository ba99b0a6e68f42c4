"""Time-based one-time passwords (RFC 6238): six digits of HMAC-SHA-1, a new one every 30 seconds."""

import base64
import hmac
import secrets

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

SEED_BYTES = 20
"""As RFC 4226 section 4 recommends."""
STEP_SECONDS = 30
DIGITS = 6
TOLERATED_STEPS = 1
"""How far the authenticator's clock may be off, either way (RFC 6238 section 5.2)."""


def new_seed() -> bytes:
    """The secret that the authenticator and this service share."""
    return secrets.token_bytes(SEED_BYTES)


def code(seed: bytes, step: int) -> str:
    """The code of one step, counted from the Unix epoch."""
    return _generator(seed).generate(step * STEP_SECONDS).decode()


def matching_step(seed: bytes, offered: str, now: float) -> int | None:
    """The step near `now` (Unix seconds) whose code this is, or None. Takes as long either way."""
    current = int(now) // STEP_SECONDS
    found = None
    for step in range(max(0, current - TOLERATED_STEPS), current + TOLERATED_STEPS + 1):
        if hmac.compare_digest(code(seed, step).encode(), offered.encode()):
            found = step
    return found


def written(seed: bytes) -> str:
    """The seed in base32, as people type it into an authenticator."""
    return base64.b32encode(seed).decode().rstrip("=")


def uri(seed: bytes, account: str, issuer: str) -> str:
    """The seed as authenticators read it from a QR code (otpauth://totp/...)."""
    return _generator(seed).get_provisioning_uri(account, issuer)


def _generator(seed: bytes) -> TOTP:
    return TOTP(seed, DIGITS, SHA1(), STEP_SECONDS)  # noqa: S303 - what every authenticator speaks
