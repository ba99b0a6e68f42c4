"""What a service tells systemd: readiness, reloads, its stop, a status line, the watchdog.

The protocol is `sd_notify(3)`: datagrams of `NAME=value` lines sent to the unix socket in `NOTIFY_SOCKET`, a
path or, with a leading `@`, a name in Linux' abstract namespace.
"""

import logging
import os
import socket
import time
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Self

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Notifier:
    """A way to the service manager; without an address every message is dropped, as outside of systemd.

    `watchdog_seconds` is how long systemd waits between two `WATCHDOG=1` before it restarts the service; None
    if it does not watch.
    """

    address: str | None = None
    watchdog_seconds: float | None = None

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str]) -> Self:
        """Take the notification variables out of `environ`.

        They are removed so that neither gunicorn, which would report readiness before a worker exists, nor a
        child process speaks for the service. Raises ValueError if a variable that is set makes no sense.
        """
        address = environ.pop("NOTIFY_SOCKET", None)
        watchdog = environ.pop("WATCHDOG_USEC", None)
        watched_pid = environ.pop("WATCHDOG_PID", None)
        if address is not None and address[:1] not in {"/", "@"}:
            raise ValueError(f"NOTIFY_SOCKET must be an absolute path or start with '@', not {address!r}")
        if watchdog is None or (watched_pid is not None and watched_pid != str(os.getpid())):
            return cls(address)
        if not watchdog.isdecimal() or int(watchdog) == 0:
            raise ValueError(f"WATCHDOG_USEC must be a positive number of microseconds, not {watchdog!r}")
        return cls(address, int(watchdog) / 1_000_000)

    def send(self, *assignments: str) -> None:
        """Send `NAME=value` assignments as one message.

        A message that cannot be delivered is logged, not raised: if it mattered, systemd notices its absence.
        """
        if self.address is None:
            return
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.setblocking(False)
                channel.sendto("\n".join(assignments).encode(), address)
        except OSError as error:
            _log.warning("cannot tell systemd %s through %s: %s", assignments[0], self.address, error)

    def reloading(self) -> None:
        """Say that a reload begins; `Type=notify-reload` asks for the time too, and `READY=1` ends it."""
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
