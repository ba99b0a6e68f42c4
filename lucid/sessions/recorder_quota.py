"""The bytes that a spool may hold, shared by its sessions."""

import shutil
import threading
from pathlib import Path

from lucid.sessions.recording_errors import SpoolFullError

HEADROOM_BYTES = 16 * 1024 * 1024
"""Left free on the spool's disk by chunks: to end a session and to forget what is anchored, the recorder must
still be able to write."""


class Quota:
    """``used`` of ``limit`` bytes of the disk under ``root``. May be used from several threads."""

    def __init__(self, root: Path, limit: int, used: int = 0) -> None:
        self.limit = limit
        self._root = root
        self._used = used
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        return self._used

    def reserve(self, size: int) -> None:
        """Count bytes about to be written. Raises SpoolFullError if quota or disk have no room for them."""
        with self._lock:
            if shutil.disk_usage(self._root).free < size + HEADROOM_BYTES:
                raise SpoolFullError(
                    f"the spool's disk has no room for {size} bytes beside the {HEADROOM_BYTES} that stay"
                    f" free: make some under {self._root}"
                )
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
