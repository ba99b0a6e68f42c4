"""The recorder's spool: where a chunk is safe from the moment it exists until its anchor has been seen.

::

    ROOT/                     0700; one process at a time, by a lock on ROOT/lock
      SESSION/                0700
        00000000.chunk        the recording's bytes as the encoder wrote them
        00000000.json         the claim about them (recorder_claims.Claim), written last
        progress.json         numbers already given, so that forgetting never gives one twice
        session.json          the recorder's own state of the session, opaque here
        leaves.jsonl          the session's leaves in tree order, one a line, exact bytes

A claim exists only when its chunk is durable, and both are before ``append_chunk`` returns. So what a crash
leaves behind is a temporary file or a chunk without a claim, and recovery removes both; a claim whose chunk
is missing or altered is damage, which is reported and whose numbers are never given again.

All functions block on the disk: call them in a thread. One session's functions may be called from several.
"""

import fcntl
import os
import shutil
from pathlib import Path
from typing import Self

import msgspec

from lucid.kit.durable import open_privately, sync_directory
from lucid.sessions.recorder_claims import Name
from lucid.sessions.recorder_quota import Quota
from lucid.sessions.recorder_session_spool import SessionSpool
from lucid.sessions.recording_errors import SpoolBusyError, SpoolError

_DISCARDED = "discarded-"


class Spool:
    """All sessions of one recorder, and the quota in bytes that they share."""

    def __init__(self, root: Path, quota_bytes: int) -> None:
        """Open the spool, creating it if need be.

        Raises:
            SpoolBusyError: another process has it open.
            OSError: it cannot be created or read.
        """
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_directory(root.parent)
        self.root = root
        self._lock = os.fdopen(open_privately(root / "lock", os.O_RDWR), "rb+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise SpoolBusyError(f"the spool {root} is in use by another process: stop that first") from None
        for leftover in root.glob(f".{_DISCARDED}*"):
            shutil.rmtree(leftover)
        used = sum(path.stat().st_size for path in root.glob("*/*"))
        self._quota = Quota(root, quota_bytes, used)

    def close(self) -> None:
        """Let another process have the spool. Its sessions must not be used afterwards."""
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def sessions(self) -> list[str]:
        """The sessions with a directory here, by name."""
        return sorted(
            path.name for path in self.root.iterdir() if path.is_dir() and not path.name.startswith(".")
        )

    def create(self, session: str) -> SessionSpool:
        """Begin a session. Raises SpoolError for a bad name or one that exists, SpoolFullError."""
        directory = self._directory(session)
        self._quota.reserve(0)
        try:
            directory.mkdir(mode=0o700)
        except FileExistsError:
            raise SpoolError(f"session {session} is in the spool already: open it instead") from None
        sync_directory(self.root)
        return SessionSpool(self._quota, directory)

    def open(self, session: str) -> SessionSpool:
        """Go on with a session after a restart, removing what a crash left incomplete.

        Raises SpoolError if it isn't there. Damage is not raised: see ``SessionSpool.damaged``.
        """
        directory = self._directory(session)
        if not directory.is_dir():
            raise SpoolError(f"session {session} is not in the spool")
        return SessionSpool(self._quota, directory)

    def discard(self, session: str) -> None:
        """Remove a session with all its files: all or nothing. One that is gone is no error."""
        directory = self._directory(session)
        size = sum(path.stat().st_size for path in directory.glob("*"))
        doomed = self.root / f".{_DISCARDED}{session}"
        try:
            directory.rename(doomed)
        except FileNotFoundError:  # somebody else was quicker
            return
        sync_directory(self.root)
        shutil.rmtree(doomed)
        self._quota.account(-size)

    def usage_bytes(self) -> int:
        return self._quota.used

    def _directory(self, session: str) -> Path:
        try:
            return self.root / msgspec.convert(session, Name)
        except msgspec.ValidationError:
            raise SpoolError(
                f"session name {session!r}: use 1 to 64 letters, digits, '-' and '_', not '-' or '_' first"
            ) from None
