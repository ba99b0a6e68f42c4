"""The login that `lucid login` leaves for later commands: whose, where, and the tokens."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from lucid.contracts.auth_service import Tokens
from lucid.dev.layout import write_private


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """What is in the file, which only its owner may read."""

    url: str
    """Base URL of the gateway."""
    ca: str | None
    """File with the certificate of its authority; None for the system's."""
    access_token: str
    refresh_token: str

    def __repr__(self) -> str:
        return f"Saved(url={self.url!r})"

    def renewed(self, tokens: Tokens) -> "Saved":
        """The same login with other tokens."""
        return msgspec.structs.replace(
            self, access_token=tokens.access_token, refresh_token=tokens.refresh_token
        )


class Keep:
    """The file. A refresh token is good once, so whoever exchanges it must hold the `lock`."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or _directory() / "login.json"

    def load(self) -> Saved | None:
        """The login, or None if there is none, or none that can be read."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Saved)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None

    def save(self, login: Saved) -> None:
        """Puts a login in the place of the one before, whole or not at all."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self.path, msgspec.json.encode(login))

    def forget(self) -> None:
        """Removes it."""
        self.path.unlink(missing_ok=True)

    @asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """Waits until no other command is exchanging tokens."""
        with self.path.with_suffix(".lock").open("w") as file:
            await asyncio.to_thread(fcntl.flock, file, fcntl.LOCK_EX)
            yield


def _directory() -> Path:
    """Where a person's settings are (XDG Base Directory Specification)."""
    configured = os.environ.get("XDG_CONFIG_HOME")
    return (Path(configured) if configured else Path.home() / ".config") / "lucid"
