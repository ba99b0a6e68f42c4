"""Trust policies for tests, signed by an owner of their own."""

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lucid.evidence import policy as policies
from lucid.evidence.policy import Clipboard, Input, TrustPolicy

OWNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
USABLE = Input(mouse=True, keyboard=True)


def policy(**fields: Any) -> TrustPolicy:
    """A policy that denies everything but what is named."""
    return TrustPolicy(name="test", owner_key=OWNER.public_key().public_bytes_raw().hex(), **fields)


def signed(**fields: Any) -> str:
    """The envelope of such a policy."""
    return policies.sign(policy(**fields), OWNER).decode()


__all__ = ["OWNER", "USABLE", "Clipboard", "Input", "policy", "signed"]
