"""The bytes that a spool may hold, shared by its sessions."""

import threading

from lucid.sessions.recording_errors import SpoolFullError


class Quota:
    """``used`` of ``limit`` bytes. May be used from several threads."""

    def __init__(self, limit: int, used: int = 0) -> None:
        self.limit = limit
        self._used = used
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        return self._used

    def reserve(self, size: int) -> None:
        """Count bytes about to be written. Raises SpoolFullError if they do not fit."""
        with self._lock:
            if self._used + size > self.limit:
                raise SpoolFullError(
                    f"the spool holds {self._used} of {self.limit} bytes and {size} more do not fit: wait"
                    " until chunks are anchored, or raise its quota"
                )
            self._used += size

    def account(self, size: int) -> None:
        """Count bytes that were written anyhow or, negative, removed."""
        with self._lock:
            self._used += size
