"""An onion service's key and address from a seed: Tor's files and names, made where the secrets are.

Sources: Tor's rend-spec-v3 (address, section 6), RFC 8032 (Ed25519, section 5.1.5); the files are as Tor's
`crypto_ed25519.c` and `crypto_format.c` write them: a tag of 32 bytes, then the key.
"""

import base64
import hashlib
import re

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lucid.deploy.errors import SiteError

_VERSION = b"\x03"
_SEED = re.compile(r"[0-9a-f]{64}")


def of(seed: str) -> dict[str, str]:
    """The service whose key comes from `seed`, 32 bytes in hex. Raises SiteError.

    `address` ends in .onion; `secret` and `public` are the files hs_ed25519_secret_key and
    hs_ed25519_public_key, in base64.
    """
    if not _SEED.fullmatch(seed):
        raise SiteError(
            "vault_onion_seed is not 64 hex digits; playbooks/secrets.yml makes it if it is missing"
        )
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {
        "address": address(public),
        "secret": _file("secret", _expanded(bytes.fromhex(seed))),
        "public": _file("public", public),
    }


def address(public: bytes) -> str:
    """The name of the service with this public key."""
    checksum = hashlib.sha3_256(b".onion checksum" + public + _VERSION).digest()[:2]
    return base64.b32encode(public + checksum + _VERSION).decode().lower() + ".onion"


def _expanded(seed: bytes) -> bytes:
    digest = bytearray(hashlib.sha512(seed).digest())
    digest[0] &= 248
    digest[31] = digest[31] & 63 | 64
    return bytes(digest)


def _file(kind: str, key: bytes) -> str:
    tag = f"== ed25519v1-{kind}: type0 ==".encode().ljust(32, b"\0")
    return base64.b64encode(tag + key).decode()
