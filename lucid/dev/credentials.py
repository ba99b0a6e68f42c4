"""The services' secrets: made once at random, each where only its service is pointed to.

Every credential is one line of text, 32 random bytes in hex. Services that need a key decode it; those that
need a password take it as it stands.
"""

import secrets
from pathlib import Path

from lucid import catalog
from lucid.dev.layout import State, write_private

SIZE = 32


def ensure(state: State, service: str) -> Path:
    """The service's credentials directory; what is missing in it is made, what is there is kept.

    Keys and passwords belong to what is stored under them: a new one would not open it.
    """
    directory = state.credentials(service)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in catalog.load().services[service].credentials:
        path = directory / name
        if not path.exists():
            write_private(path, secrets.token_hex(SIZE).encode() + b"\n")
    return directory
