"""The forms in which a secret could turn up somewhere."""

import base64
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

SHORTEST = 20
_PEM = "-----"
_OPENSSH = "b3BlbnNzaC1rZXktdjE"
"""How all private keys of OpenSSH begin."""


def leaves(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """The secrets in a vault's content: names like `vault_credentials.session-api.closing_key`."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(f"{name}.{key}" if name else str(key), inner)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from leaves(f"{name}.{number}", inner)
    elif isinstance(value, str) and len(value) >= SHORTEST and "BEGIN CERTIFICATE" not in value:
        yield name, value


def forms(secret: str) -> list[str]:
    """As it is, URL-quoted, and what any text in base64 holds that holds it; of a PEM file each line."""
    if _PEM in secret:
        return [line for line in secret.splitlines() if line and not line.startswith((_PEM, _OPENSSH))]
    return [
        secret,
        *{quote(secret, safe=""), quote(secret)} - {secret},
        *(in_base64(secret, before) for before in range(3)),
    ]


def in_base64(secret: str, before: int) -> str:
    """What of its base64 form is the same whatever stands around it, after `before` bytes modulo 3."""
    raw = b"\0" * before + secret.encode()
    first, last = (before * 8 + 5) // 6, len(raw) * 8 // 6
    return base64.b64encode(raw).decode()[first:last]
