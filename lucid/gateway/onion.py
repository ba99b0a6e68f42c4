"""How Tor is, by whom people reach this gateway too: from a file, as it may not command Tor."""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from lucid.kit.errors import Unavailable

STALE_SECONDS = 60.0
BOOTSTRAPPED = 100


class Status(msgspec.Struct, frozen=True):
    """What a program beside Tor writes into the file every few seconds."""

    at: float
    """Seconds since 1970."""
    bootstrap: int
    """Percent."""
    circuits: bool
    """Whether Tor can build circuits."""
    summary: str
    """Tor's own words."""
    error: str
    """Why Tor could not be asked, else empty."""


def check(file: Path) -> Callable[[], Awaitable[None]]:
    """A check that Tor is connected. Raises Unavailable, with the reason."""

    async def tor() -> None:
        judge(read(file), time.time())

    return tor


def read(file: Path) -> Status:
    """The file's content. Raises Unavailable if there is none that makes sense."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Status)
    except OSError as error:
        raise Unavailable(f"{file}: {error.strerror}; is lucid-tor-status.service running?") from None
    except msgspec.MsgspecError as error:
        raise Unavailable(f"{file}: {error}") from None


def judge(status: Status, now: float) -> None:
    """Raises Unavailable unless Tor was connected lately; `now` in seconds since 1970."""
    if status.error:
        raise Unavailable(f"Tor cannot be asked: {status.error}")
    if abs(age := now - status.at) > STALE_SECONDS:
        raise Unavailable(f"nobody has asked Tor for {age:.0f} s; is lucid-tor-status.service running?")
    if status.bootstrap < BOOTSTRAPPED:
        raise Unavailable(f"Tor is at {status.bootstrap} % of its start: {status.summary}")
    if not status.circuits:
        raise Unavailable("Tor has no circuit")
